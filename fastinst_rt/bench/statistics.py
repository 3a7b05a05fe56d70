"""What the samples say: order statistics with nothing clipped, and how sure the median is.

Samples of one block share the machine's mood of that moment, so they are no independent draws: wherever an interval is
given, whole blocks are drawn again (block bootstrap), not single samples.
"""

from dataclasses import dataclass

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
    low, high = np.percentile(resampled_medians(samples, blocks), [2.5, 97.5])
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


def resampled_medians(samples: Seconds, blocks: npt.NDArray[np.int64], seed: int = 0) -> Seconds:
    """Medians that other runs of the same length might have given: float64 [5000], by drawing whole blocks again."""
    medians = block_medians(samples, blocks)
    drawn = np.random.default_rng(seed).integers(0, len(medians), (_DRAWS, len(medians)))
    return np.asarray(np.median(medians[drawn], axis=1), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Change:
    """Relative change of a median from run a to run b: +0.1 is 10 % more time.

    Attributes:
        value: the change of the medians.
        low, high: its bootstrap interval.
    """

    value: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def change(
    a: tuple[Seconds, npt.NDArray[np.int64]],
    b: tuple[Seconds, npt.NDArray[np.int64]],
    confidence: float = 0.99,
) -> Change:
    """Relative change of the median block from a to b.

    Args:
        a, b: samples [N] and their blocks [N].
        confidence: of the interval.
    """
    before, after = (float(np.median(block_medians(*run))) for run in (a, b))
    ratios = resampled_medians(*b, seed=1) / resampled_medians(*a, seed=0) - 1
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return Change(after / before - 1, float(low), float(high))
