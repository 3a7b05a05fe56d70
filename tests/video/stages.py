"""Stand-ins for source, network and sinks, so that the pipeline is tested without codecs or weights."""

import threading
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import COCO
from fastinst_rt.results import Frame, Instances, MaskCrop, Timings
from fastinst_rt.video.sources import SourceInfo

TIME_BASE = Fraction(1001, 30000)


class CountingSource:
    """Delivers `count` frames whose pixels hold their index.

    Args:
        period: seconds between frames, as a camera would deliver them; 0 for as fast as asked.
        work: seconds of decoding a frame.
        error: raised after the last frame.
        stall_at: index of the frame that never comes (until stopped).
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int] = (72, 128),
        period: float = 0.0,
        work: float = 0.0,
        live: bool = False,
        error: Exception | None = None,
        stall_at: int | None = None,
        sizes: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self.info = SourceInfo("fake", "test", size[1], size[0], 1 / TIME_BASE, TIME_BASE, count, live=live)
        self.notes: list[str] = []
        self.passengers = None
        self.stopped = threading.Event()
        self.closed = False
        self.delivered = 0
        self._count, self._period, self._work, self._error, self._stall_at = count, period, work, error, stall_at
        self._sizes = sizes or [size] * count

    def frames(self) -> Iterator[Frame]:
        start = time.monotonic()
        for index in range(self._count):
            if self._work:
                time.sleep(self._work)
            if self._period:
                self.stopped.wait(max(0.0, start + index * self._period - time.monotonic()))
            if index == self._stall_at:
                self.stopped.wait()
            if self.stopped.is_set():
                return
            self.delivered += 1
            image = np.full((*self._sizes[index], 3), index % 256, np.uint8)
            yield Frame(index, 1000 + index * 7, TIME_BASE, image, time.monotonic())
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        self.stopped.set()

    def close(self) -> None:
        self.closed = True


class SleepingNetwork:
    """One disc a picture after `seconds`; raises on the call numbered `fail_at`."""

    def __init__(self, seconds: float = 0.0, fail_at: int | None = None) -> None:
        self.calls: list[int] = []
        self.threads: set[int] = set()
        self._seconds, self._fail_at = seconds, fail_at

    def __call__(self, image: npt.NDArray[np.uint8]) -> Instances:
        self.threads.add(threading.get_ident())
        if len(self.calls) == self._fail_at:
            raise RuntimeError("shapes cannot be multiplied")
        self.calls.append(int(image[0, 0, 0]))
        if self._seconds:
            time.sleep(self._seconds)
        return disc(image.shape[:2], Timings(engine=self._seconds))


def disc(size: tuple[int, ...], timings: Timings | None = None) -> Instances:
    """One disc in the middle of a picture."""
    height, width = size
    radius = min(size) // 4
    mask = np.zeros((2 * radius + 1, 2 * radius + 1), np.uint8)
    cv2.circle(mask, (radius, radius), radius, 1, -1)
    left, top = width // 2 - radius, height // 2 - radius
    return Instances(
        (height, width), np.array([0.9], np.float32), np.array([0]),
        np.array([[left, top, left + 2 * radius + 1, top + 2 * radius + 1]], np.float32),
        (MaskCrop(left, top, mask.astype(bool)),), COCO, timings=timings or Timings(),
    )  # fmt: skip


class MemorySink:
    """Remembers what it was given; sleeps `work` seconds for each; fails on the frame numbered `fail_at`."""

    def __init__(
        self, needs_overlay: bool = True, work: float = 0.0, fail_at: int | None = None, close_error: bool = False
    ) -> None:
        self.needs_overlay = needs_overlay
        self.path: Path | None = None
        self.notes: list[str] = []
        self.indices: list[int] = []
        self.pts: list[int] = []
        self.found: list[Instances] = []
        self.annotated: list[bool] = []
        self.ended: list[str] = []
        self._work, self._fail_at, self._close_error = work, fail_at, close_error

    def write(self, frame: Frame, annotated: npt.NDArray[np.uint8] | None, instances: Instances) -> None:
        if len(self.indices) == self._fail_at:
            raise OSError("no space left on device")
        if self._work:
            time.sleep(self._work)
        assert int(frame.image[0, 0, 0]) == frame.index % 256  # nobody painted over the source's pixels
        self.indices.append(frame.index)
        self.pts.append(frame.pts)
        self.found.append(instances)
        self.annotated.append(annotated is not None and annotated is not frame.image)

    def close(self) -> None:
        self.ended.append("close")
        if self._close_error:
            raise OSError("cannot finalise")

    def abort(self) -> None:
        self.ended.append("abort")
