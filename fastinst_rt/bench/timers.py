"""Stopwatches: seconds of consecutive calls, on the host's monotonic clock or on the GPU's own.

Both fill a buffer that the caller made beforehand: between the two readings of a sample runs the measured call and
nothing else of ours - no allocation, no printing, no bookkeeping.
"""

import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

Call = Callable[[], object]
"""What is measured: takes nothing, and its result is thrown away."""

Seconds = npt.NDArray[np.float64]


class Timer(Protocol):
    """A stopwatch."""

    clock: str
    """What is read, in words, for the report."""

    def latency(self, call: Call, out: Seconds) -> None:
        """Time `len(out)` calls one by one: each is waited for before the next begins.

        Args:
            call: what is measured.
            out: float64 [n], written in place: seconds of each call.
        """
        ...

    def throughput(self, call: Call, calls: int) -> float:
        """Time `calls` calls handed over without waiting in between; waits for the last.

        Returns:
            Seconds of the whole window.
        """
        ...


def _nothing_to_wait_for() -> None:
    """A CPU call is done when it returns."""


class HostTimer:
    """The host's monotonic clock (`time.perf_counter_ns`), with an explicit wait before each second reading.

    Args:
        synchronise: blocks until everything that was handed to the device is done.
    """

    def __init__(self, synchronise: Callable[[], None] = _nothing_to_wait_for, clock: str = "host clock") -> None:
        self._synchronise = synchronise
        self.clock = clock

    def latency(self, call: Call, out: Seconds) -> None:
        now, wait = time.perf_counter_ns, self._synchronise
        wait()
        for i in range(len(out)):
            start = now()
            call()
            wait()
            end = now()
            out[i] = end - start
        out *= 1e-9

    def throughput(self, call: Call, calls: int) -> float:
        now, wait = time.perf_counter_ns, self._synchronise
        wait()
        start = now()
        for _ in range(calls):
            call()
        wait()
        return (now() - start) * 1e-9


class CudaTimer:
    """The GPU's own clock: CUDA events around each call, on the current stream of `device`.

    A sample is the time the stream was busy with (or waiting for) the call, launch gaps included, copies of the result
    to the host only if the call makes them. Event resolution is about half a microsecond.
    """

    clock = "CUDA events"

    def __init__(self, device: str = "cuda") -> None:
        import torch

        self._device = torch.device(device)
        self._cuda = torch.cuda
        self._start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def latency(self, call: Call, out: Seconds) -> None:
        start, end = self._start, self._end
        with self._cuda.device(self._device):
            self._cuda.synchronize()
            for i in range(len(out)):
                start.record()
                call()
                end.record()
                end.synchronize()
                out[i] = start.elapsed_time(end)
        out *= 1e-3

    def throughput(self, call: Call, calls: int) -> float:
        with self._cuda.device(self._device):
            self._cuda.synchronize()
            self._start.record()
            for _ in range(calls):
                call()
            self._end.record()
            self._end.synchronize()
            return float(self._start.elapsed_time(self._end)) * 1e-3


def device_timer(device: str) -> Timer:
    """The timer of level `engine`: CUDA events on a GPU, the host's clock on a CPU."""
    return CudaTimer(device) if device.startswith("cuda") else HostTimer()


def host_timer(device: str) -> HostTimer:
    """The timer of level `model`: the host's clock, waiting for the GPU where there is one."""
    if not device.startswith("cuda"):
        return HostTimer()
    import torch

    def synchronise() -> None:
        torch.cuda.synchronize(device)

    return HostTimer(synchronise, clock="host clock after torch.cuda.synchronize")
