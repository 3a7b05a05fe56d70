"""What the samples say: order statistics with nothing clipped, and how sure the median is.

Samples of one block share the machine's mood of that moment, so they are no independent draws: wherever an interval is
given, whole blocks are drawn again (block bootstrap), not single samples.
"""

from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from fastinst_rt.bench.timers import Seconds

_DRAWS = 5000

_BEST_THIRD = 100 / 3
"""Percentile."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Order statistics of all samples, seconds.

    Attributes:
        count: number of samples.
        mean, std: arithmetic mean; standard deviation of the sample (0 for a single one).
        minimum, p50, p90, p95, p99, maximum: linearly interpolated percentiles. With fewer than 100 samples p99 lies
            between the two largest.
        median_low, median_high: 95 % interval of the median by block bootstrap.
    """

    count: int
    mean: float
    std: float
    minimum: float
    p50: float
    p90: float
    p95: float
    p99: float
    maximum: float
    median_low: float
    median_high: float

    @property
    def fps(self) -> float:
        """Calls a second at the median."""
        return 1.0 / self.p50


def summarise(samples: Seconds, blocks: npt.NDArray[np.int64]) -> Summary:
    """Order statistics of samples [N] taken in blocks [N].

    Raises:
        ValueError: without a sample.
    """
    if not len(samples):
        raise ValueError("no samples to summarise")
    low, high = np.percentile(resampled(block_medians(samples, blocks), 50), [2.5, 97.5])
    minimum, p50, p90, p95, p99, maximum = np.percentile(samples, [0, 50, 90, 95, 99, 100])
    return Summary(
        count=len(samples),
        mean=float(samples.mean()),
        std=float(samples.std(ddof=1)) if len(samples) > 1 else 0.0,
        minimum=float(minimum),
        p50=float(p50),
        p90=float(p90),
        p95=float(p95),
        p99=float(p99),
        maximum=float(maximum),
        median_low=float(low),
        median_high=float(high),
    )


def block_medians(samples: Seconds, blocks: npt.NDArray[np.int64]) -> Seconds:
    """The median of each block, in the order of the blocks."""
    return _of_blocks(samples, blocks, 50)


def block_floors(samples: Seconds, blocks: npt.NDArray[np.int64]) -> Seconds:
    """The 5th percentile of each block, in the order of the blocks: what a call takes when nothing disturbs it."""
    return _of_blocks(samples, blocks, 5)


def unsteadiness(floors: Seconds) -> float:
    """How far the block at the end of the best third lies above the best one, relative.

    A third, not half: a run of 50 blocks on a busy machine met a quiet one in 15 of them, which is plenty to know its
    quiet time, while its median block was 14 % slower.

    Args:
        floors: float64 [B], see `block_floors`.
    """
    return float(np.percentile(floors, _BEST_THIRD) / floors.min()) - 1


def _of_blocks(samples: Seconds, blocks: npt.NDArray[np.int64], percent: float) -> Seconds:
    return np.array([np.percentile(samples[blocks == block], percent) for block in np.unique(blocks)])


def resampled(values: Seconds, percent: float, seed: int = 0) -> Seconds:
    """A percentile of the blocks' values, as other runs of the same length might have given it.

    Args:
        values: float64 [B], one value a block.
        percent: 50 for the median block.
        seed: of the draws.

    Returns:
        float64 [5000], each from B blocks drawn again.
    """
    drawn = np.random.default_rng(seed).integers(0, len(values), (_DRAWS, len(values)))
    return np.asarray(np.percentile(values[drawn], percent, axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Change:
    """Relative change from run a to run b: +0.1 is 10 % more time.

    Attributes:
        value: the change.
        low, high: its bootstrap interval.
        decidable: whether the blocks are enough to tell. If even all blocks of one being quicker than all of the other
            is no rarer by chance than the confidence asks, nothing can be told. The bootstrap does not know it: of
            three blocks each it called two equal runs different in 7 % of trials, at a confidence of 99 %.
    """

    value: float
    low: float
    high: float
    decidable: bool = True

    @property
    def excludes_zero(self) -> bool:
        """Whether there is a change: the blocks can tell, and the interval lies on one side of zero."""
        return self.decidable and (self.low > 0 or self.high < 0)


def change(a: Seconds, b: Seconds, confidence: float = 0.99, percent: float = 50) -> Change:
    """Relative change of a percentile of the blocks from a to b.

    Args:
        a, b: one value a block.
        confidence: of the interval.
        percent: 50 compares the median blocks.
    """
    ratios = resampled(b, percent, seed=1) / resampled(a, percent, seed=0) - 1
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    value = float(np.percentile(b, percent) / np.percentile(a, percent)) - 1
    rarest = 2 / comb(len(a) + len(b), len(a))
    return Change(value, float(low), float(high), decidable=rarest <= 1 - confidence)
