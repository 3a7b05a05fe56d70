"""Containers on their way to disk: a part beside the final name that is playable at any moment, then the whole."""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from fastinst_rt.errors import UsageError
from fastinst_rt.video.part_file import part_path

if TYPE_CHECKING:
    from av.container.core import Chapter  # a TypedDict that only the stub has

_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}

_FRAGMENT = 500_000
"""Microseconds of a fragment: what a killed run loses at most, besides what the encoder looks ahead."""

_PLAIN_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo"}
"""What a stream means that counts its channels without naming them; MP4 has no way to write that."""

_NAMED_IN_PACKETS = frozenset({"ac3", "eac3", "av1", "vp9", "truehd"})
"""Codecs whose description for an MP4 index is made from their first packet."""

_INCOMPLETE = "fastinst-rt: incomplete"
"""The comment in an output whose run broke off."""

_OWN_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "comment"})
"""Tags of a source that describe its file, not its content; our comment says whether the run got to its end."""


@dataclass
class Track:
    """What went into one stream of a part, for what a part cannot keep.

    Attributes:
        times: seconds of its first two packets. Two, because a muxer of fragments that may write no edit list moves
            the first packet of a stream to zero, and all the others by another amount.
        duration: seconds of the newest packet; the last one's ends the track, and not every fragment says it.
    """

    times: list[Fraction] = field(default_factory=list)
    duration: Fraction = Fraction(0)

    def note(self, packet: "Packet[Stream]") -> None:
        """A packet goes in."""
        if packet.pts is not None and len(self.times) < 2:
            self.times.append(packet.pts * packet.time_base)
        if packet.duration:
            self.duration = packet.duration * packet.time_base


def container_format(path: Path) -> str:
    """FFmpeg's format by the suffix.

    Raises:
        UsageError: a suffix that is no video container we write.
    """
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise UsageError(
            f"{path.name} has no suffix of a video that can be written.", f"Use {', '.join(_FORMATS)}."
        ) from None


def content_tags(metadata: dict[str, str]) -> dict[str, str]:
    """The tags of a source that hold for its annotated copy too."""
    return {key: value for key, value in metadata.items() if key.lower() not in _OWN_TAGS}


def is_incomplete(path: Path) -> bool:
    """Whether a video of ours was finalised by a run that broke off (or cannot be read at all)."""
    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            tags = {key.lower(): value for key, value in container.metadata.items()}
            return tags.get("comment") == _INCOMPLETE
    except (av.FFmpegError, OSError):
        return True


def open_part(path: Path) -> OutputContainer:
    """An empty container at `part_path(path)`, tagged as incomplete.

    Raises:
        OSError: it cannot be made (PyAV's errors are OSErrors too where the system said no).
    """
    part = av.open(f"file:{part_path(path)}", "w", format=container_format(path))
    part.metadata["comment"] = _INCOMPLETE
    return part


def begin_part(part: OutputContainer, all_have_begun: bool) -> None:
    """Writes the head of a part in the way that keeps the file playable while it grows.

    MP4 and MOV are written in fragments. Their index is held back until every stream has had a packet, since only
    then its edit lists (start times) are right and codecs that say what they are in their packets are known. Where
    a stream keeps everybody waiting the index is written at once; the times of such a part are shifted by its muxer,
    which `finalise` takes back. Matroska is playable by nature.
    """
    part.container_options.update({"flush_packets": "1", "strict": "experimental"})
    if part.format.name in ("mp4", "mov"):
        codecs = {stream.codec_context.codec.canonical_name for stream in part.streams if stream.codec_context}
        held = "+delay_moov" if all_have_begun or codecs & _NAMED_IN_PACKETS else ""
        part.container_options.update(
            {"movflags": f"+empty_moov{held}+default_base_moof", "frag_duration": str(_FRAGMENT)}
        )
        part.container_options["movie_timescale"] = _movie_timescale(part)
    else:
        part.container_options.update({"cluster_time_limit": str(_FRAGMENT // 1000), "avoid_negative_ts": "disabled"})
    part.start_encoding()


def finalise(path: Path, tracks: Mapping[int, Track], chapters: "Sequence[Chapter]", complete: bool) -> None:
    """Makes the final file of a finished part and removes the part.

    Args:
        path: the final name.
        tracks: what went into the part, by stream index.
        chapters: of the whole; a part has none, since they would be a stream of their own.
        complete: whether the run got to its end; otherwise the file stays tagged as incomplete.

    Raises:
        OSError: no room for the second copy, or it cannot be moved; the part is then kept.
    """
    part = part_path(path)
    whole = path.with_name(f".{path.stem}.whole{path.suffix}")
    try:
        _remux(part, whole, tracks, chapters, complete)
        whole.replace(path)
    finally:
        whole.unlink(missing_ok=True)
    part.unlink()


def _remux(part: Path, whole: Path, tracks: Mapping[int, Track], chapters: "Sequence[Chapter]", complete: bool) -> None:
    name = container_format(whole)
    options = {"strict": "experimental"}
    options |= {"movflags": "+faststart"} if name in ("mp4", "mov") else {"avoid_negative_ts": "disabled"}
    with (
        av.open(f"file:{part}") as source,
        av.open(f"file:{whole}", "w", format=name, container_options=options) as target,
    ):
        copies = {stream.index: copy_stream(target, stream) for stream in source.streams}
        target.metadata.update(content_tags(source.metadata))
        if not complete:
            target.metadata["comment"] = _INCOMPLETE
        target.set_chapters(list(chapters))
        if name in ("mp4", "mov"):
            target.container_options["movie_timescale"] = _movie_timescale(target)
        shifts: dict[int, list[int]] = {stream.index: [] for stream in source.streams}
        for packet in _packets(source):
            index = packet.stream_index
            track, known = tracks.get(index, Track()), shifts[index]
            if len(known) < len(track.times) and packet.pts is not None:
                known.append(round(track.times[len(known)] / packet.time_base) - packet.pts)
            shift_packet(packet, known[-1] if known else 0)
            packet.duration = packet.duration or round(track.duration / packet.time_base)
            packet.stream = copies[index]
            target.mux(packet)


def _movie_timescale(container: OutputContainer) -> str:
    """Units a second in which the start times of all streams are whole numbers; FFmpeg's 1000 rounds them."""
    common = math.lcm(*(stream.time_base.denominator for stream in container.streams if stream.time_base))
    return str(common if common < 2**31 else 1_000_000)


def shift_packet(packet: "Packet[Stream]", units: int) -> None:
    """Moves a packet in time, in its own units."""
    packet.dts = None if packet.dts is None else packet.dts + units
    packet.pts = None if packet.pts is None else packet.pts + units


def _packets(source: InputContainer) -> "Iterable[Packet[Stream]]":
    return (packet for packet in source.demux() if packet.dts is not None or packet.size > 0)


def copy_stream(target: OutputContainer, stream: Stream) -> Stream:
    """A stream of `target` for packets of `stream` as they are, with its language and disposition.

    Raises:
        ValueError: the container cannot take its codec.
    """
    if not _is_carried(target.format.name, stream):
        raise ValueError(f"{target.format.name} cannot carry {stream.type} of that codec")
    return _add_copy(target, stream)


def _add_copy(target: OutputContainer, stream: Stream) -> Stream:
    copy = target.add_stream_from_template(stream, opaque=True)
    copy.metadata.update(stream.metadata)
    copy.disposition = stream.disposition
    if isinstance(copy, AudioStream) and copy.layout.name in _PLAIN_LAYOUTS:
        copy.codec_context.layout = _PLAIN_LAYOUTS[copy.layout.name]
    return copy


def _is_carried(name: str, stream: Stream) -> bool:
    """Whether a head with that stream can be written: what a format says of itself is not always what it then does."""
    try:
        with av.open(io.BytesIO(), "w", format=name, container_options={"strict": "experimental"}) as trial:
            _add_copy(trial, stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


def header_stripper(name: str, copy: Stream, packet: "Packet[Stream]") -> BitStreamFilterContext | None:
    """What takes the headers off AAC packets of a broadcast (ADTS), which MP4 keeps once for all; None elsewhere."""
    codec = None if copy.codec_context is None else copy.codec_context.codec.canonical_name
    if codec != "aac" or name not in ("mp4", "mov") or bytes(packet)[:1] != b"\xff" or bytes(packet)[1] & 0xF0 != 0xF0:
        return None
    # By its name: the stream of the packet is gone with its container where the source ended or was lost meanwhile.
    return BitStreamFilterContext("aac_adtstoasc", "aac")
