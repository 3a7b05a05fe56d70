"""Counters and timers."""

import time

import numpy as np
import pytest

from fastinst_rt.results import Timings
from fastinst_rt.video.meters import Distribution, Meters
from fastinst_rt.video.queues import Cause
from fastinst_rt.video.summary import Snapshot, hud_lines


def test_percentiles_are_right_to_about_a_percent() -> None:
    samples = np.random.default_rng(0).lognormal(-4, 1, 4000)
    distribution = Distribution()
    for sample in samples:
        distribution.add(float(sample))
    for percent in (1, 50, 95, 99):
        expected = float(np.percentile(samples, percent, method="inverted_cdf"))
        assert distribution.percentile(percent) == pytest.approx(expected, rel=0.012)
    assert distribution.mean == pytest.approx(samples.mean())
    assert (distribution.minimum, distribution.maximum) == (samples.min(), samples.max())


def test_extremes_stay_in_range() -> None:
    distribution = Distribution()
    assert distribution.percentile(50) == distribution.mean == 0.0
    for seconds in (0.0, 1e-9, 1e6):
        distribution.add(seconds)
    assert distribution.percentile(50) <= 1.02e-6
    assert distribution.percentile(100) <= 1e6


def test_metering_a_frame_costs_microseconds() -> None:
    meters, timings = Meters(), Timings(resize=1e-3, engine=2e-2, select=1e-3, enlarge=1e-3)
    start = time.perf_counter()
    for _ in range(1000):
        meters.decoded(1e-3)
        meters.inferred(2e-2, timings)
        meters.delivered(1e-3, 1e-3, time.monotonic(), 2e-2, timings)
    assert (time.perf_counter() - start) / 1000 < 200e-6


def test_rate_is_counted_over_the_span() -> None:
    meters = Meters()
    start = time.monotonic()
    for _ in range(10):  # bursts of two: an average of gaps would swing between nothing and a lot
        time.sleep(0.02)
        for _ in range(2):
            meters.delivered(0, 0, time.monotonic(), 0.01, Timings())
    expected = 20 / (time.monotonic() - start)
    assert meters.recent().fps == pytest.approx(expected, rel=0.15)
    assert meters.fps == pytest.approx(expected, rel=0.15)
    assert meters.recent().engine == pytest.approx(0.01)


def test_hud_says_what_is_asked_of_it() -> None:
    meters = Meters()
    meters.dropped(Cause.REPLACED)
    state = Snapshot("running", 3.0, 12, 10, 9, meters.drops_by_name(), 1, 0, meters.recent())
    text = "\n".join(hud_lines(state, ["camera 0", "fastinst-nano on openvino"]))
    for word in ("FPS", "engine", "age", "1 replaced", "camera 0", "fastinst-nano on openvino", "waiting 1"):
        assert word in text
