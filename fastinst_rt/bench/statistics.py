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
    low, high = np.percentile(resampled(block_medians(samples, blocks)), [2.5, 97.5])
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
    return np.array([np.median(samples[blocks == block]) for block in np.unique(blocks)])


def half_width(values: Seconds) -> float:
    """Half the 95 % interval of the median, relative to it, from the order of the values alone.

    It is asked after every round of every variant: 0.8 ms for 100 values, where `resampled` takes 36.

    Args:
        values: float64 [B], one value a block.
    """
    ordered, middle, reach = np.sort(values), (len(values) - 1) / 2, 0.98 * np.sqrt(len(values))
    low, high = max(0, int(np.floor(middle - reach))), min(len(values) - 1, int(np.ceil(middle + reach)))
    return float((ordered[high] - ordered[low]) / 2 / np.median(values))


def resampled(values: Seconds, seed: int = 0) -> Seconds:
    """The median of the blocks' values, as other runs of the same length might have given it.

    Args:
        values: float64 [B], one value a block.
        seed: of the draws.

    Returns:
        float64 [5000], each from B blocks drawn again.
    """
    drawn = np.random.default_rng(seed).integers(0, len(values), (_DRAWS, len(values)))
    return np.asarray(np.median(values[drawn], axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Change:
    """Relative change of the median from a to b: +0.1 is 10 % more time.

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


def change(a: Seconds, b: Seconds, confidence: float = 0.99) -> Change:
    """Change between two runs.

    Args:
        a, b: one value a block.
        confidence: of the interval.
    """
    rarest = 2 / comb(len(a) + len(b), len(a))
    value = float(np.median(b) / np.median(a)) - 1
    return _change(value, resampled(b, seed=1) / resampled(a, seed=0) - 1, confidence, rarest)


def paired_change(ratios: Seconds, confidence: float = 0.99) -> Change:
    """Change between two variants of one run, whose blocks were taken in the same rounds.

    Args:
        ratios: b over a, one value a round.
        confidence: of the interval.
    """
    return _change(float(np.median(ratios)) - 1, resampled(ratios) - 1, confidence, rarest=2 / 2 ** len(ratios))


def _change(value: float, drawn: Seconds, confidence: float, rarest: float) -> Change:
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Change(value, float(low), float(high), decidable=rarest <= 1 - confidence)
