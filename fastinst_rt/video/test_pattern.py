"""The `test:` source: moving shapes of any size and rate, to try everything without a file or a camera."""

import re
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.errors import UsageError
from fastinst_rt.results import Frame
from fastinst_rt.video.clock import Pacer
from fastinst_rt.video.passengers import Passengers
from fastinst_rt.video.sources import SourceInfo, SourceOptions

_SPEC = re.compile(
    r"test:(?:(?P<width>\d+)x(?P<height>\d+))?(?:@(?P<rate>\d+(?:\.\d+|/0*[1-9]\d*)?))?(?:,?frames=(?P<frames>\d+))?"
)
_BROADCAST = {Fraction("29.97"): Fraction(30000, 1001), Fraction("23.976"): Fraction(24000, 1001),
              Fraction("59.94"): Fraction(60000, 1001)}  # fmt: skip
"""What people mean by the rounded numbers."""

_SHAPES = ((40, 90, 220), (60, 180, 75), (200, 130, 0), (48, 190, 245), (180, 60, 160))
"""BGR of the discs that move over the picture."""


class PatternSource:
    """`test:[WIDTHxHEIGHT][@RATE][,frames=N]`: discs on a gradient; 640x360 at 30 and endless unless told otherwise.

    Every frame is a function of its index alone. With `live` they come at their own time, else as fast as asked for.

    Raises:
        UsageError: the pattern's name cannot be read.
    """

    passengers: Passengers | None = None

    def __init__(self, spec: str, options: SourceOptions) -> None:
        match = _SPEC.fullmatch(spec)
        if match is None:
            raise UsageError(
                f"{spec} is no test pattern.", "Write test:WIDTHxHEIGHT@RATE,frames=N, e.g. test:640x360@30."
            )
        width, height = int(match["width"] or 640), int(match["height"] or 360)
        rate = Fraction(match["rate"] or 30)
        rate = _BROADCAST.get(rate, rate)
        if not (16 <= width <= 16384 and 16 <= height <= 16384 and 0 < rate <= 1000):
            raise UsageError(f"{spec} is too small, too large or too fast.", "Sides: 16 to 16384; rate: up to 1000.")
        self.notes: list[str] = []
        self._every = options.every
        self._stopped = threading.Event()
        self._pacer = Pacer(self._stopped) if options.live else None
        count = int(match["frames"]) if match["frames"] else None
        if options.end is not None:
            last = int(options.end * rate)
            count = last if count is None else min(count, last)
        self._count = count
        self._first = int((options.start or 0) * rate)
        delivered = None if count is None else -(-max(0, count - self._first) // self._every)
        self.info = SourceInfo(
            name=spec,
            kind="test",
            width=width,
            height=height,
            rate=rate / self._every,
            time_base=1 / rate,
            frame_count=delivered,
            duration=None if delivered is None else delivered * self._every / rate,
            live=options.live,
            origin=self._first / rate,
        )
        self._background = _gradient(width, height)

    def frames(self) -> Iterator[Frame]:
        """See `Source.frames`; nothing can be lost here."""
        place = self._first
        while self._count is None or place < self._count:
            image = self.picture(place)
            if self._pacer is not None and not self._pacer.wait(place * self.info.time_base):
                return
            if self._stopped.is_set():
                return
            yield Frame(place - self._first, place, self.info.time_base, image, captured_at=time.monotonic())
            place += self._every

    def picture(self, place: int) -> npt.NDArray[np.uint8]:
        """uint8 [H, W, 3] BGR, the frame at that place."""
        image = self._background.copy()
        height, width = image.shape[:2]
        radius = max(4, min(width, height) // 8)
        for i, colour in enumerate(_SHAPES):
            x = _bounce(place * (i + 2) * width // 640 + i * width // 5, radius, width - radius)
            y = _bounce(place * (5 - i) * height // 360 + i * height // 4, radius, height - radius)
            cv2.circle(image, (x, y), radius, colour, thickness=-1, lineType=cv2.LINE_AA)
        cv2.putText(image, str(place), (6, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
        return image

    def stop(self) -> None:
        """See `Source.stop`."""
        self._stopped.set()

    def close(self) -> None:
        """Holds nothing."""


def _gradient(width: int, height: int) -> npt.NDArray[np.uint8]:
    rows = np.linspace(30, 110, height, dtype=np.float32)[:, None]
    columns = np.linspace(0, 60, width, dtype=np.float32)[None, :]
    grey = (rows + columns).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _bounce(position: int, low: int, high: int) -> int:
    """A point that goes to and fro between two walls."""
    span = max(1, high - low)
    phase = position % (2 * span)
    return low + (phase if phase <= span else 2 * span - phase)
