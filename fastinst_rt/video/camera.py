"""Cameras through OpenCV: the mode is asked for and then told as it came out; a lost camera is opened again."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.errors import SourceOpenError
from fastinst_rt.results import Frame
from fastinst_rt.video.clock import Backoff
from fastinst_rt.video.passengers import Passengers
from fastinst_rt.video.pump import Pump, within
from fastinst_rt.video.sources import SourceInfo, SourceOptions

_TIME_BASE = Fraction(1, 90000)
"""A camera has no timestamps of its own: frames are stamped as they arrive, on the clock that MPEG uses."""

_FAILED_READS = 3
"""Empty reads in a row that mean the camera is gone: one or two happen while a driver changes its mode."""


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def isOpened(self) -> bool: ...  # noqa: N802
    def set(self, prop: int, value: float) -> bool: ...
    def get(self, prop: int) -> float: ...
    def read(self) -> tuple[bool, npt.NDArray[np.uint8] | None]: ...
    def release(self) -> None: ...


def open_capture(device: str) -> Capture:
    """OpenCV's capture of a camera index (`0`) or device path."""
    api = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
    capture: Capture = cv2.VideoCapture(int(device) if device.isdecimal() else device, api)
    return capture


class CameraSource:
    """Frames of a camera, in MJPG where it can: raw modes crawl at 5 to 10 frames a second over USB 2.

    Args:
        device: index or path.
        options: size and rate wanted; read time-out.
        factory: opens the device; tests put a camera of their own here.

    Raises:
        SourceOpenError: there is no such camera, or it gives no picture.
    """

    passengers: Passengers | None = None

    def __init__(self, device: str, options: SourceOptions, factory: Callable[[str], Capture] = open_capture) -> None:
        self.notes: list[str] = []
        self.outages = 0
        self._name = f"camera {device}" if device.isdecimal() else device
        self._device = device
        self._options = options
        self._factory = factory
        self._stopped = threading.Event()
        self._backoff = Backoff(self._stopped)
        self._capture, first = within(
            options.open_timeout, self._open, lambda opened: opened[0].release(), self._name, self._stopped
        )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.info: SourceInfo = SourceInfo(
            name=self._name,
            kind="camera",
            width=first.shape[1],
            height=first.shape[0],
            rate=Fraction(rate).limit_denominator(1001) if rate > 0 else None,
            time_base=_TIME_BASE,
            live=True,
            codec=_fourcc(self._capture.get(cv2.CAP_PROP_FOURCC)),
        )
        self.notes.append(self._mode())
        self._pump: Pump[npt.NDArray[np.uint8]] = Pump(
            self._pictures, lambda: self._capture.release(), self._name, silence=None
        )

    def frames(self) -> Iterator[Frame]:
        """The frames as they come, until stopped; while the camera is lost there are none."""
        zero = time.monotonic()
        last = -1
        for index, image in enumerate(self._pump):
            now = time.monotonic()
            last = max(last + 1, round((now - zero) / _TIME_BASE))
            yield Frame(index, last, _TIME_BASE, image, captured_at=now)

    def stop(self) -> None:
        """See `Source.stop`."""
        self._stopped.set()
        self._pump.stop()

    def close(self) -> None:
        """Lets the device go; a driver that is stuck in a read is left to its thread."""
        self.stop()
        self._pump.join(self._options.read_timeout)

    def _pictures(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Pictures for ever, across losses of the camera."""
        failed = 0
        while not self._stopped.is_set():
            image = self._read()
            if image is not None:
                failed = 0
                self._backoff.reset()
                yield image
                continue
            failed += 1
            if failed >= _FAILED_READS:
                self._reopen()
                failed = 0

    def _read(self) -> npt.NDArray[np.uint8] | None:
        good, image = self._capture.read()
        if not good or image is None:
            return None
        if image.ndim == 2:
            image = np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), np.uint8)
        size = (self.info.width, self.info.height)
        return image if image.shape[1::-1] == size else np.asarray(cv2.resize(image, size), np.uint8)

    def _reopen(self) -> None:
        lost_at = time.monotonic()
        self.outages += 1
        self._capture.release()
        while self._backoff.wait():
            try:
                self._capture, _ = self._open()
            except SourceOpenError:
                continue
            gone = time.monotonic() - lost_at
            self.notes.append(
                f"{self._name} was lost for {gone:.1f} seconds and opened again; the gap is in the times."
            )
            return

    def _open(self) -> tuple[Capture, npt.NDArray[np.uint8]]:
        """Opens the device, asks for its mode and reads one picture, which proves that it works."""
        capture = self._factory(self._device)
        if not capture.isOpened():
            capture.release()
            raise SourceOpenError(
                f"{self._name} cannot be opened.", "See which cameras there are (ls /dev/video*) and who uses them."
            )
        # The format first: a driver that changes it afterwards falls back to another size.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        if self._options.size is not None:
            capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._options.size[0])
            capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._options.size[1])
        if self._options.rate is not None:
            capture.set(cv2.CAP_PROP_FPS, float(self._options.rate))
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what lies in a driver's buffer is old
        for _ in range(_FAILED_READS):
            good, image = capture.read()
            if good and image is not None:
                return capture, image
        capture.release()
        raise SourceOpenError(f"{self._name} gives no picture.", "Close other programs that use it, or unplug it once.")

    def _mode(self) -> str:
        info, wanted = self.info, self._options.size
        rate = f"{float(info.rate):g}" if info.rate else "an unknown number of"
        mode = f"{info.name}: {info.width}x{info.height}, {info.codec}, {rate} frames a second"
        if wanted is not None and wanted != (info.width, info.height):
            return f"{mode} ({wanted[0]}x{wanted[1]} was asked for)."
        return f"{mode}."


def _fourcc(value: float) -> str:
    """`MJPG` of the number that drivers keep it in."""
    code = int(value) & 0xFFFFFFFF
    letters = code.to_bytes(4, "little").decode("latin-1").strip("\0 ")
    return letters if letters.isprintable() and letters else "raw"
