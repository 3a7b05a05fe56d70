"""Warm-up, plan, interleaving: what the protocol promises."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import chain, cycle, repeat

import numpy as np
import pytest

from fastinst_rt.bench.measure import Variant, measure, warm_up
from fastinst_rt.bench.protocol import FULL, QUICK, Protocol
from fastinst_rt.bench.statistics import paired_change
from fastinst_rt.bench.timers import Call, HostTimer, Seconds

BRIEF = Protocol(samples=12, seconds=1, least_samples=3, least_seconds=0, warm_up=0.0, warm_up_limit=5, blocks=4)


class ScriptedTimer(HostTimer):
    """Calls, and takes the times from a script instead of a clock."""

    def __init__(self, seconds: Iterable[float]) -> None:
        super().__init__()
        self._seconds = iter(seconds)

    def latency(self, call: Call, out: Seconds) -> None:
        for i in range(len(out)):
            call()
            out[i] = next(self._seconds)


def test_the_full_protocol_takes_200_samples_or_20_seconds() -> None:
    assert sum(FULL.plan(0.05)) == 200
    assert sum(FULL.plan(0.001)) == 2000  # 4 seconds would be 4000: the cap
    assert sum(FULL.plan(0.01)) == 400  # quick calls fill at least 4 seconds
    assert sum(FULL.plan(1.0)) == 20
    assert sum(FULL.plan(30.0)) == FULL.least_samples


def test_the_plan_spreads_the_calls_evenly_over_the_blocks() -> None:
    plan = FULL.plan(0.05)
    assert len(plan) == FULL.blocks
    assert max(plan) - min(plan) <= 1
    assert all(QUICK.plan(10.0))


def test_a_quick_run_that_compares_its_rows_has_rounds_enough() -> None:
    assert len(QUICK.plan(10.0)) < 8
    ratios = np.linspace(1.10, 1.11, len(QUICK.telling().plan(10.0)))
    assert paired_change(ratios).excludes_zero


def test_warm_up_lasts_until_the_median_stands_still() -> None:
    falling = [0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1]
    record, median = warm_up(Variant(lambda: None, ScriptedTimer(falling)), BRIEF)
    assert record.settled
    assert record.calls == 7
    assert median == 0.1


def test_warm_up_gives_up_and_says_so() -> None:
    restless = Protocol(warm_up=0.0, warm_up_limit=0.05, settled=0.02)
    unsteady = [1.0, 2.0] * 100_000
    record, _ = warm_up(Variant(lambda: None, ScriptedTimer(unsteady)), restless)
    assert not record.settled


def test_the_first_call_is_no_evidence_of_standing_still() -> None:
    record, _ = warm_up(Variant(lambda: None, ScriptedTimer([0.1] * 50)), BRIEF)
    assert record.calls == 3  # the first, and two windows to compare


def test_a_first_call_that_was_made_already_is_not_made_again() -> None:
    calls: list[int] = []
    tried = Variant(lambda: calls.append(1), ScriptedTimer([0.1] * 50), first_call=0.9)
    record, _ = warm_up(tried, BRIEF)
    assert (record.calls, len(calls)) == (3, 2)
    assert record.seconds >= 0.9


def test_a_slow_first_call_takes_nothing_from_the_warm_up() -> None:
    loaded = Variant(lambda: None, ScriptedTimer([0.01] * 50), first_call=2 * BRIEF.warm_up_limit)
    record, median = warm_up(loaded, BRIEF)
    assert record.settled
    assert median == 0.01  # not the first call: it says how many samples are taken


def test_blocks_of_the_variants_take_turns_and_turn_around() -> None:
    calls: list[str] = []
    variants = {name: Variant(lambda name=name: calls.append(name), ScriptedTimer([0.01] * 500)) for name in "ab"}  # type: ignore[misc]
    found = measure(variants, BRIEF)
    measured = "".join(calls)[6:]  # three warm-up calls each
    block = 12 // 4 + 1  # one call before each block fills the caches again
    assert measured == "".join(name * block for name in ("a", "b", "b", "a", "a", "b", "b", "a"))
    assert found["a"].blocks.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


def test_every_sample_is_kept_in_its_order() -> None:
    outlier = [0.01] * 10 + [5.0] + [0.01] * 100
    found = measure({"a": Variant(lambda: None, ScriptedTimer(outlier))}, BRIEF)
    assert found["a"].samples.max() == 5.0
    assert len(found["a"].samples) == 12


def blocks_of(*seconds: float) -> Iterable[float]:
    """A script for BRIEF: the warm-up, then a block of three calls and the one before it for each value."""
    return chain(repeat(0.01, 3), *(repeat(value, 3) for value in seconds))


def test_a_run_goes_on_until_its_medians_are_known_well() -> None:
    patient = replace(BRIEF, patience=60.0)
    script = blocks_of(0.015, *[0.010] * 8, 9.0)  # an interval of nine blocks leaves the worst one out
    said: list[str] = []
    found = measure({"a": Variant(lambda: None, ScriptedTimer(script))}, patient, said.append)
    assert found["a"].medians.tolist() == [0.015, *[0.010] * 8]
    assert [line for line in said if "unsteady" in line] == said[-5:]


def test_a_steady_run_and_one_without_patience_end_as_planned() -> None:
    steady = measure(
        {"a": Variant(lambda: None, ScriptedTimer(blocks_of(0.0101, 0.01, 0.01, 0.01, 9.0)))},
        replace(BRIEF, patience=60.0),
    )
    unsteady = measure({"a": Variant(lambda: None, ScriptedTimer(blocks_of(0.02, 0.02, 0.02, 0.01, 9.0)))}, BRIEF)
    assert len(steady["a"].medians) == len(unsteady["a"].medians) == BRIEF.blocks


def test_a_run_on_a_machine_that_never_rests_ends_all_the_same() -> None:
    restless = chain(repeat(0.01, 3), cycle([0.01] * 3 + [0.02] * 9))
    found = measure({"a": Variant(lambda: None, ScriptedTimer(restless))}, replace(BRIEF, patience=0.05))
    assert len(found["a"].medians) > BRIEF.blocks


def test_a_variant_too_slow_for_all_rounds_takes_part_in_added_ones() -> None:
    slow = ScriptedTimer(repeat(1.0))  # the least number of calls: three, in the first three of four rounds
    quick = ScriptedTimer(blocks_of(0.015, *[0.010] * 8, 9.0))
    variants = {"slow": Variant(lambda: None, slow), "quick": Variant(lambda: None, quick)}
    found = measure(variants, replace(BRIEF, patience=60.0))
    assert np.unique(found["slow"].blocks).tolist() == [0, 1, 2, 4, 5, 6, 7, 8]


def test_throughput_gives_one_sample_a_block() -> None:
    found = measure({"a": Variant(lambda: None, HostTimer(), "throughput")}, BRIEF)
    assert len(found["a"].samples) == BRIEF.blocks
    assert np.all(found["a"].samples > 0)


def test_an_error_in_the_call_comes_out() -> None:
    def broken() -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        measure({"a": Variant(broken, HostTimer())}, BRIEF)
