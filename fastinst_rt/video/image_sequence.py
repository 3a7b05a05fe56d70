"""A numbered sequence of pictures as one video: `img_%04d.png`."""

import re
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.errors import SourceLostError, SourceOpenError
from fastinst_rt.results import Frame
from fastinst_rt.video.clock import Pacer
from fastinst_rt.video.passengers import Passengers
from fastinst_rt.video.sources import SourceInfo, SourceOptions

_NUMBER = re.compile(r"%0?\d*d")
_DEFAULT_RATE = Fraction(25)


class ImageSequenceSource:
    """Pictures whose names carry a number where the pattern has `%d` or `%04d`, in the order of the numbers.

    A missing number is a gap in time: the pts of a picture is its number less the first one's. 25 pictures a
    second unless `options.rate` says otherwise.

    Raises:
        SourceOpenError: no file matches, or the first one is no picture.
    """

    passengers: Passengers | None = None

    def __init__(self, pattern: Path, options: SourceOptions) -> None:
        numbered = _matching(pattern)
        if not numbered:
            raise SourceOpenError(f"No picture matches {pattern}.", "Check the folder and the number of digits.")
        rate = options.rate or _DEFAULT_RATE
        self._zero = numbered[0][0]
        low = self._zero + int((options.start or 0) * rate)
        self._files = [
            (n, f) for n, f in numbered if n >= low and (options.end is None or n < self._zero + options.end * rate)
        ]
        if not self._files:
            raise SourceOpenError(f"{pattern} has no picture between start and end.", "Give an earlier --start.")
        self._files = self._files[:: options.every]
        first = cv2.imread(str(self._files[0][1]), cv2.IMREAD_COLOR)
        if first is None:
            raise SourceOpenError(f"{self._files[0][1]} is no picture that can be read.", "Name a pattern of pictures.")
        self.notes: list[str] = []
        if len(numbered) <= numbered[-1][0] - self._zero:
            self.notes.append("Numbers are missing in the sequence; they are gaps in time.")
        self._every = options.every
        self._stopped = threading.Event()
        self._pacer = Pacer(self._stopped) if options.live else None
        self.info = SourceInfo(
            name=str(pattern),
            kind="images",
            width=first.shape[1],
            height=first.shape[0],
            rate=rate / options.every,
            time_base=1 / rate,
            frame_count=len(self._files),
            duration=(self._files[-1][0] - self._files[0][0] + 1) / rate,
            live=options.live,
            origin=(low - self._zero) / rate,
        )

    def frames(self) -> Iterator[Frame]:
        """See `Source.frames`.

        Raises:
            SourceLostError: a picture of the sequence cannot be read.
        """
        for place, (number, file) in enumerate(self._files):
            image = self._read(file)
            pts = number - self._zero
            if self._pacer is not None and not self._pacer.wait(pts * self.info.time_base):
                return
            if self._stopped.is_set():
                return
            yield Frame(place * self._every, pts, self.info.time_base, image, captured_at=time.monotonic())

    def stop(self) -> None:
        """See `Source.stop`."""
        self._stopped.set()

    def close(self) -> None:
        """Holds nothing."""

    def _read(self, file: Path) -> npt.NDArray[np.uint8]:
        image = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if image is None:
            raise SourceLostError(f"{file} cannot be read.", "The pictures before it are in the output; replace it.")
        size = (self.info.width, self.info.height)
        if image.shape[1::-1] != size:
            self.notes.append(f"{file.name} has another size and was scaled to the first picture's.")
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return np.asarray(image, np.uint8)


def _matching(pattern: Path) -> list[tuple[int, Path]]:
    """(number, file) of all files that the pattern means, by number."""
    placeholder = _NUMBER.search(pattern.name)
    assert placeholder is not None
    before, after = pattern.name[: placeholder.start()], pattern.name[placeholder.end() :]
    name = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    digits = placeholder.group().strip("%d")
    width = int(digits) if digits.startswith("0") else 0
    found = []
    for file in pattern.parent.iterdir() if pattern.parent.is_dir() else ():
        match = name.fullmatch(file.name)
        if match is not None and (len(match[1]) == width or len(match[1].lstrip("0") or "0") == len(match[1]) >= width):
            found.append((int(match[1]), file))
    return sorted(found)
