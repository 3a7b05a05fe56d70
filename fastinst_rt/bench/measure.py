"""Measure several variants in one run: warm each up until it stands still, then take their blocks in turn.

Blocks are interleaved, and every second round runs backwards, so that a machine that gets slower during the run (heat,
neighbours) makes all variants slower by the same, not only the later ones. Where the blocks of one variant differ much,
rounds are added.
"""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fastinst_rt.bench.protocol import Protocol
from fastinst_rt.bench.statistics import block_medians, half_width
from fastinst_rt.bench.timers import Call, Seconds, Timer

Say = Callable[[str], None]
"""Takes one line of progress; called between blocks only, never while a clock runs."""

Mode = Literal["latency", "throughput"]
"""One call in flight, or as many as the device takes."""


def say_nothing(line: str) -> None:
    """The progress display of those who want none."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing to measure.

    Attributes:
        call: takes nothing; everything it needs is allocated before.
        timer: the clock of its level.
        mode: see `Mode`.
        first_call: seconds of the first call, where it was made already (a slow network is not called twice for it).
    """

    call: Call
    timer: Timer
    mode: Mode = "latency"
    first_call: float | None = None


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How a variant was warmed up.

    Attributes:
        seconds: how long it took.
        calls: how many calls it took.
        settled: whether the median stood still at the end.
    """

    seconds: float
    calls: int
    settled: bool


@dataclass(frozen=True, slots=True)
class Measurement:
    """All samples of one variant, in the order they were taken; none is ever left out.

    Attributes:
        samples: float64 [N], seconds a call (in throughput mode: seconds a call, averaged over its block).
        blocks: int64 [N], the round each sample was taken in.
        warm_up: what went before.
    """

    samples: Seconds
    blocks: npt.NDArray[np.int64]
    warm_up: WarmUp

    @property
    def medians(self) -> Seconds:
        """float64 [B]: the median of each block."""
        return block_medians(self.samples, self.blocks)

    def over(self, other: "Measurement") -> Seconds:
        """float64 [R]: the median of each block over that of the other's in the same round, where both have one.

        What slows the machine down for longer than a round slows both, and falls out.
        """
        _, ours, theirs = np.intersect1d(np.unique(self.blocks), np.unique(other.blocks), return_indices=True)
        return np.asarray(self.medians[ours] / other.medians[theirs], dtype=np.float64)


def warm_up(variant: Variant, protocol: Protocol) -> tuple[WarmUp, float]:
    """Call until two consecutive windows have the same median.

    Returns:
        The record, and the median of the last window in seconds a call.
    """
    first = variant.first_call
    if first is None:
        probe = np.empty(1)
        variant.timer.latency(variant.call, probe)
        first = float(probe[0])
    # The first call may compile, allocate, load: it only says how long a window must be, and no limit counts it.
    calls, previous, median, settled = 1, np.inf, first, False
    begin = time.perf_counter()
    while calls == 1 or (not settled and time.perf_counter() - begin < protocol.warm_up_limit):
        per_call = max(median, 1e-9)
        window = np.empty(int(np.clip(protocol.warm_up / 3 / per_call, 1, 1000)))
        variant.timer.latency(variant.call, window)
        calls += len(window)
        previous, median = median if calls > len(window) + 1 else np.inf, float(np.median(window))
        still = abs(median - previous) <= protocol.settled * median
        settled = still and time.perf_counter() - begin >= protocol.warm_up
    return WarmUp(first + time.perf_counter() - begin, calls, settled), median


def measure(variants: Mapping[str, Variant], protocol: Protocol, say: Say = say_nothing) -> dict[str, Measurement]:
    """Measure all variants interleaved.

    Args:
        variants: name -> what to measure; all are ready to run and stay in memory until the end.
        protocol: how long and how often.
        say: progress, called between blocks.

    Returns:
        name -> its samples, in the order of `variants`.
    """
    warm: dict[str, WarmUp] = {}
    plans: dict[str, list[int]] = {}
    for name, variant in variants.items():
        say(f"warm-up: {name}")
        warm[name], median = warm_up(variant, protocol)
        plans[name] = protocol.plan(median)
    taken: dict[str, list[tuple[int, Seconds]]] = {name: [] for name in variants}
    planned = max((len(plan) for plan in plans.values()), default=0)
    number, end = 0, np.inf
    while number < planned or (time.perf_counter() < end and not _steady(taken, protocol.steady)):
        more = "" if number < planned else f", the machine is unsteady: at most {end - time.perf_counter():.0f} s more"
        say(f"round {number + 1} of {planned}{more}")
        gc.collect()
        for name in in_turn(list(variants), number):
            plan = plans[name]
            if not len(plan) <= number < planned:
                taken[name].append((number, _block(variants[name], plan[number % len(plan)])))
        number += 1
        if number == planned:
            end = time.perf_counter() + protocol.patience
    return {name: _joined(taken[name], warm[name]) for name in variants}


def _block(variant: Variant, calls: int) -> Seconds:
    """The samples of one block; of throughput it is one."""
    if calls > 1:  # the variant before left its own data in the caches; long calls fill them by themselves
        variant.call()
    if variant.mode == "throughput":
        return np.array([variant.timer.throughput(variant.call, calls) / calls])
    samples = np.empty(calls)
    variant.timer.latency(variant.call, samples)
    return samples


def _joined(blocks: Sequence[tuple[int, Seconds]], warm: WarmUp) -> Measurement:
    """What these blocks, each with the number of its round, are together."""
    rounds = np.repeat([number for number, _ in blocks], [len(samples) for _, samples in blocks])
    return Measurement(np.concatenate([samples for _, samples in blocks]), rounds, warm)


def _steady(taken: Mapping[str, Sequence[tuple[int, Seconds]]], limit: float) -> bool:
    """Whether the median of every variant is known that well."""
    return all(
        half_width(np.array([np.median(samples) for _, samples in blocks])) <= limit for blocks in taken.values()
    )


def in_turn(names: Sequence[str], number: int) -> Sequence[str]:
    """The order of round `number`: forwards, then backwards, see above."""
    return names if number % 2 == 0 else names[::-1]
