"""The stopwatch is right, and nothing of ours runs while it does."""

import builtins
import gc
import sys
import time
import tracemalloc

import numpy as np
import pytest
import torch

from fastinst_rt.bench.measure import Variant, measure
from fastinst_rt.bench.protocol import Protocol
from fastinst_rt.bench.timers import CudaTimer, HostTimer, device_timer, host_timer

NAP = 0.02
BRIEF = Protocol(samples=8, seconds=1, least_samples=3, least_seconds=0, warm_up=0.01, warm_up_limit=0.1, blocks=4)


def nap() -> None:
    time.sleep(NAP)


def test_a_known_sleep_is_measured_within_two_per_cent() -> None:
    samples = np.empty(20)
    HostTimer().latency(nap, samples)
    assert samples.min() >= NAP
    assert samples.min() == pytest.approx(NAP, rel=0.02)  # the one that a busy kernel woke in time


def test_the_timer_adds_nothing_to_what_the_call_took() -> None:
    taken: list[float] = []

    def timed_nap() -> None:
        begin = time.monotonic()
        time.sleep(NAP)
        taken.append(time.monotonic() - begin)

    samples = np.empty(20)
    HostTimer().latency(timed_nap, samples)
    assert np.median(samples) == pytest.approx(np.median(taken), rel=0.02)


def test_throughput_of_known_sleeps_is_their_sum() -> None:
    windows = [HostTimer().throughput(nap, 5) for _ in range(5)]
    assert min(windows) == pytest.approx(5 * NAP, rel=0.02)


def test_a_sample_ends_only_when_the_device_is_done() -> None:
    samples = np.empty(3)
    HostTimer(synchronise=nap).latency(lambda: None, samples)
    assert samples.min() >= NAP


def test_nothing_is_allocated_between_the_readings() -> None:
    samples = np.empty(5000)
    timer = HostTimer()
    timer.latency(lambda: None, samples)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        timer.latency(lambda: None, samples)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 1000  # a few integers that come and go; 5000 kept samples would be 40,000 bytes
    assert after - before < 500


def test_nothing_is_printed_or_said_between_the_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    running = False
    broken: list[str] = []

    def watched(*words: object, **_: object) -> None:
        if running:
            broken.append(str(words))

    class Watchful(HostTimer):
        def latency(self, call, out):  # type: ignore[no-untyped-def]
            nonlocal running
            running = True
            super().latency(call, out)
            running = False

    monkeypatch.setattr(builtins, "print", watched)
    monkeypatch.setattr(sys.stdout, "write", watched)
    monkeypatch.setattr(sys.stderr, "write", watched)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        watched(line)

    measure({"a": Variant(lambda: None, Watchful())}, BRIEF, say)
    assert said
    assert not broken


def test_the_clock_fits_the_device() -> None:
    assert isinstance(device_timer("cpu"), HostTimer)
    assert isinstance(host_timer("cpu"), HostTimer)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_events_agree_with_the_host_clock() -> None:
    weights = torch.rand(4096, 4096, device="cuda")
    by_events, by_host = np.empty(20), np.empty(20)
    for timer, out in ((CudaTimer(), by_events), (host_timer("cuda:0"), by_host)):
        timer.latency(lambda: weights @ weights, np.empty(20))
        timer.latency(lambda: weights @ weights, out)
    assert np.median(by_events) == pytest.approx(np.median(by_host), rel=0.1)
