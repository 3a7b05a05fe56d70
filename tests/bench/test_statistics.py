"""Order statistics against NumPy, and intervals that mean what they say."""

import numpy as np
import pytest

from fastinst_rt.bench.statistics import block_medians, change, half_width, paired_change, resampled, summarise


def run(
    seed: int, median: float, drift: float = 0.01, blocks: int = 10, each: int = 20
) -> tuple[np.ndarray, np.ndarray]:
    """A run whose blocks differ from each other by `drift`, as those of a real machine do."""
    random = np.random.default_rng(seed)
    level = median * (1 + drift * random.standard_normal(blocks))
    samples = level.repeat(each) * (1 + 0.005 * random.standard_normal(blocks * each))
    return samples, np.arange(blocks).repeat(each)


def medians(seed: int, median: float) -> np.ndarray:
    return block_medians(*run(seed, median))


def test_summary_keeps_every_sample() -> None:
    samples = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    found = summarise(samples, np.arange(5))
    assert (found.count, found.minimum, found.p50, found.maximum) == (5, 1.0, 3.0, 100.0)
    assert found.mean == 22.0
    assert found.std == pytest.approx(np.std(samples, ddof=1))
    assert found.p90 == pytest.approx(np.percentile(samples, 90))
    assert found.p99 == pytest.approx(np.percentile(samples, 99))
    assert found.fps == pytest.approx(1 / 3)


def test_one_sample_is_a_summary_too() -> None:
    found = summarise(np.array([2.0]), np.zeros(1, np.int64))
    assert found.std == 0.0
    assert found.median_low == found.median_high == 2.0


def test_no_sample_is_none() -> None:
    with pytest.raises(ValueError, match="no samples"):
        summarise(np.empty(0), np.empty(0, np.int64))


def test_blocks_are_the_unit_of_chance() -> None:
    samples, blocks = run(0, 1.0)
    assert len(block_medians(samples, blocks)) == 10
    of_blocks = resampled(block_medians(samples, blocks)).std()
    of_samples = resampled(samples).std()
    assert of_blocks > 1.5 * of_samples  # samples of one block are alike: drawing them singly would claim too much


def test_a_slowdown_of_ten_per_cent_is_seen() -> None:
    found = change(medians(1, 0.050), medians(2, 0.055))
    assert found.value == pytest.approx(0.10, abs=0.02)
    assert found.excludes_zero


def test_equal_runs_seldom_differ() -> None:
    false = sum(change(medians(2 * i, 1.0), medians(2 * i + 1, 1.0)).excludes_zero for i in range(60))
    assert false <= 4  # 99 % intervals of ten blocks; the bootstrap of so few blocks is a little narrow


def test_three_blocks_each_can_tell_nothing() -> None:
    assert not change(np.array([1.0, 1.01, 0.99]), np.array([2.0, 2.01, 1.99])).excludes_zero
    five = np.array([0.98, 0.99, 1.0, 1.01, 1.02])
    assert change(five, 2 * five).excludes_zero


def test_the_interval_holds_the_change() -> None:
    held = sum((c := change(medians(2 * i, 1.0), medians(2 * i + 1, 1.05))).low <= 0.05 <= c.high for i in range(60))
    assert held >= 54


def test_variants_of_one_run_are_told_apart_whatever_the_machine_does_meanwhile() -> None:
    random = np.random.default_rng(0)
    mood = 1 + 0.5 * random.random(30)
    a, b = (seconds * mood * (1 + 0.01 * random.standard_normal(30)) for seconds in (0.050, 0.052))
    found = paired_change(b / a)
    assert found.value == pytest.approx(0.04, abs=0.01)
    assert found.excludes_zero
    assert not change(a, b).excludes_zero
    assert not paired_change((b / a)[:7]).decidable  # all of seven on one side: once in 64 runs by chance


def test_half_width_holds_the_median_in_nineteen_of_twenty_runs() -> None:
    random = np.random.default_rng(0)
    for count in (10, 40):
        values = random.normal(1.0, 0.1, (400, count))
        inside = sum(abs(np.median(run) - 1) <= half_width(run) * np.median(run) for run in values)
        assert 0.9 <= inside / 400 <= 0.995
    assert half_width(np.array([2.0])) == 0.0
