"""Where frames come from: what every source offers, and the front door that tells the kinds apart."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from fastinst_rt.errors import SourceOpenError, UsageError
from fastinst_rt.results import Frame
from fastinst_rt.video.passengers import Passengers
from fastinst_rt.video.urls import is_url

_SEQUENCE = re.compile(r"%0?\d*d")


@dataclass(frozen=True, slots=True)
class Colour:
    """How a stream's YUV numbers are meant, in the code points of ITU-T H.273.

    Attributes:
        range: 0 unspecified, 1 limited (16..235), 2 full (0..255).
        matrix, primaries, transfer: 2 is unspecified.
    """

    range: int = 0
    matrix: int = 2
    primaries: int = 2
    transfer: int = 2


@dataclass(frozen=True)
class SourceInfo:
    """What is known about a source once it is open.

    Attributes:
        name: for people; credentials in URLs are redacted.
        kind: file, url, stdin, camera, images or test.
        width, height: pixels of the frames that come out (upright).
        rate: average frames a second, None where the source does not say.
        time_base: seconds a pts unit of its frames.
        frame_count: how many frames will come out; an estimate, None where unknown (live).
        duration: seconds, an estimate, None where unknown.
        live: whether frames come at their own time (the policy then defaults to `freshest`).
        colour: how the stored pixels are meant; a video sink writes the same.
        sample_aspect: width of a pixel by its height, upright.
        rotation: degrees clockwise that were applied to make the frames upright: 0, 90, 180 or 270.
        codec: of the picture stream; `raw` where there is none.
        path: the file, where the source is one.
        origin: seconds that a cut (`start`) takes off the front; a video sink subtracts it, frames keep their own pts.
        extras: names of the other streams, e.g. `audio 1 (aac)`.
        has_audio: whether one of them is sound that can be copied along.
        metadata: the container's tags.
    """

    name: str
    kind: str
    width: int
    height: int
    rate: Fraction | None
    time_base: Fraction
    frame_count: int | None = None
    duration: Fraction | None = None
    live: bool = False
    colour: Colour = Colour()
    sample_aspect: Fraction = Fraction(1)
    rotation: int = 0
    codec: str = "raw"
    path: Path | None = None
    origin: Fraction = Fraction(0)
    extras: tuple[str, ...] = ()
    has_audio: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


class Source(Protocol):
    """A stream of frames. Made by `open_source`; used by one thread, except `stop`.

    Attributes:
        info: fixed once the source is open.
        passengers: audio and subtitle packets on their way to a video sink; None where a source can have none.
    """

    info: SourceInfo
    passengers: Passengers | None

    @property
    def notes(self) -> Sequence[str]:
        """Sentences about what was repaired or left out so far, for the summary."""
        ...

    def frames(self) -> Iterator[Frame]:
        """The frames in order, once.

        Raises:
            SourceLostError: after the last frame that could be delivered.
        """
        ...

    def stop(self) -> None:
        """Makes `frames` end soon; may be called from any thread, any number of times."""
        ...

    def close(self) -> None:
        """Frees the decoder or the device; call when no thread is inside `frames` any more."""
        ...


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What a user may ask of a source; what does not apply to its kind is not looked at.

    Attributes:
        live: play at natural speed and re-open what is lost (the `live` command).
        start, end: seconds from the beginning of a file; frames in [start, end) come out.
        every: deliver one frame in `every`; the others are decoded, not converted.
        size: (width, height) asked of a camera.
        rate: frames a second asked of a camera, or meant by a sequence of pictures.
        open_timeout, read_timeout: seconds a URL, stdin or camera may stay silent.

    Raises:
        UsageError: a start or end that is no number.
    """

    live: bool = False
    start: float | None = None
    end: float | None = None
    every: int = 1
    size: tuple[int, int] | None = None
    rate: Fraction | None = None
    open_timeout: float = 10.0
    read_timeout: float = 10.0

    def __post_init__(self) -> None:
        for at in (self.start, self.end):
            if at is not None and not math.isfinite(at):
                raise UsageError(
                    f"{at} is no time in a video.", "Give --start and --end in seconds, or leave them out."
                )


def open_source(spec: str | Path, options: SourceOptions | None = None) -> Source:
    """Opens a source by what its name looks like.

    Args:
        spec: a camera index (`0`) or device (`/dev/video0`), a URL, `test:` pattern, `-` for stdin, a sequence
            of pictures (`img_%04d.png`), or a file. Folders and globs: see `inputs.expand_inputs`.
        options: see `SourceOptions`.

    Raises:
        SourceOpenError: it cannot be opened or holds no picture.
        UsageError: an option or the pattern's name cannot be meant.
    """
    options = options or SourceOptions()
    text = str(spec)
    # Each kind is imported when it is asked for: a file needs no OpenCV, a pattern no FFmpeg.
    if text.startswith("test:"):
        from fastinst_rt.video.test_pattern import PatternSource

        return PatternSource(text, options)
    if text.isdecimal() or text.startswith("/dev/video"):
        from fastinst_rt.video.camera import CameraSource

        return CameraSource(text, options)
    if is_url(text) or text == "-":
        from fastinst_rt.video.stream_source import StreamSource

        return StreamSource(text, options)
    path = Path(spec)
    if _SEQUENCE.search(path.name) and not path.exists():
        from fastinst_rt.video.image_sequence import ImageSequenceSource

        return ImageSequenceSource(path, options)
    if path.is_dir():
        raise SourceOpenError(f"{text} is a folder.", "Name a video inside it.")
    from fastinst_rt.video.file_source import FileSource

    return FileSource(path, options)
