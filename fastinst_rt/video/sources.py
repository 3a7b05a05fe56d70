"""Where frames come from: what every source offers, and the front door that tells the kinds apart."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from fastinst_rt.results import Frame


@dataclass(frozen=True, slots=True)
class Colour:
    """How a stream's YUV numbers are meant: H.273 code points, 2 = unspecified (range: 0 unspecified, 1 limited, 2 full)."""

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
        frame_count: an estimate, None where unknown (live).
        duration: seconds, an estimate, None where unknown.
        live: whether frames come at their own time (the policy then defaults to `freshest`).
        colour: how the stored pixels are meant; a video sink writes the same.
        sample_aspect: width of a pixel by its height, upright.
        rotation: degrees clockwise that were applied to make the frames upright (0, 90, 180, 270).
        codec: of the picture stream, `raw` where there is none.
        path: the file, where the source is one.
        extras: names of the streams that can be copied along, e.g. `audio 1 (aac)`.
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
    extras: tuple[str, ...] = ()
    has_audio: bool = False
    metadata: dict[str, str] = field(default_factory=dict)


class Source(Protocol):
    """A stream of frames. Made by `open_source`; used by one thread, except `stop`.

    Attributes:
        info: fixed once the source is open.
        notes: sentences about what was repaired or left out so far, for the summary.
        passengers: audio and subtitle packets on their way to a video sink, None where a source has none.
    """

    info: SourceInfo
    notes: list[str]
    passengers: Any

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
