"""Encoding pictures into a container, with the source's clock and whatever travels beside them."""

import contextlib
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from fastinst_rt.errors import UsageError
from fastinst_rt.results import Frame
from fastinst_rt.video import muxing
from fastinst_rt.video.encoders import EncoderChoice
from fastinst_rt.video.part_file import check_writable, part_path, write_failure
from fastinst_rt.video.passengers import Passengers, stream_name
from fastinst_rt.video.picture import assumed_matrix
from fastinst_rt.video.sources import Source

if TYPE_CHECKING:
    from av.container.core import Chapter  # a TypedDict that only the stub has

_SWSCALE_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
"""H.273 matrix code -> the number that FFmpeg's scaler has for it."""

_PATIENCE = Fraction(2)
"""Seconds of pictures that wait for the first packet of every copied stream before the container is begun."""


class VideoWriter:
    """Writes pictures with the pts and time base of their frames, and copies the packets that travel beside them.

    The file grows as a part beside the final name, playable even after SIGKILL, and gets its name in `finish`.

    Args:
        path: of the output; see `muxing.container_format`.
        source: open.
        encoder: that takes pictures of the source's size.
        passengers: streams to copy, None for none; they are boarded here.

    Attributes:
        notes: what was left out, for the summary.

    Raises:
        UsageError: suffix or path cannot be meant (also: the output is the input).
        OutputError: the folder cannot be written to.
    """

    def __init__(self, path: Path, source: Source, encoder: EncoderChoice, passengers: Passengers | None) -> None:
        self.notes: list[str] = []
        self._path = path
        self._info = source.info
        self._encoder = encoder
        muxing.container_format(path)
        check_writable(path, source.info.path)
        self._matrix = _SWSCALE_MATRIX.get(assumed_matrix(source.info.colour.matrix, source.info.height), 5)
        self._reformatter = VideoReformatter()
        self._origin = source.info.origin
        self._restarts = source.info.live  # a recording begins at zero whenever it is switched on
        self._usual_step = max(1, round(1 / ((source.info.rate or Fraction(25)) * source.info.time_base)))
        self._step = self._usual_step
        self._pending: VideoFrame | None = None
        self._durations: dict[int, int] = {}
        self._tracks: dict[int, muxing.Track] = defaultdict(muxing.Track)
        self._last_dts: dict[int, int] = {}
        self._early: list[Packet[Stream]] = []
        self._begun = self._ended = self._broken = False
        try:
            self._container = muxing.open_part(path)
        except (av.FFmpegError, OSError) as error:
            raise write_failure(self._path, error, part_path(self._path)) from error
        self._video = self._add_video()
        self._container.metadata.update(muxing.content_tags(source.info.metadata))
        self._copies: dict[int, Stream] = {}
        self._strippers: dict[int, BitStreamFilterContext | None] = {}
        self._passengers: Passengers | None = None
        if passengers is not None:
            self._board(passengers)

    def write(self, frame: Frame, packed: VideoFrame) -> None:
        """Encodes one picture (BGR or BGRA, of the source's size) at the time of its frame.

        Raises:
            OutputError: it cannot be written.
        """
        before, self._pending = self._pending, self._picture(frame, packed)
        if before is None:
            return
        self._step = _pts(self._pending) - _pts(before)
        try:
            self._encode(before)
            self._copy_packets(until=_pts(before) * self._info.time_base + self._origin)
        except (av.FFmpegError, OSError) as error:
            self._broken = True
            raise write_failure(self._path, error, part_path(self._path)) from error

    def finish(self, complete: bool) -> None:
        """Finalises and moves into place; what did not get to its end is tagged (`muxing.is_incomplete`).

        Raises:
            OutputError: the file cannot be finalised; the part is kept.
        """
        if self._ended:
            return
        self._ended = True
        try:
            if self._pending is None or self._broken:
                self._give_up()
                return
            self._step = self._usual_step  # how long the last one stays is not known
            last = _pts(self._pending) + self._step
            self._encode(self._pending)
            self._encode(None)
            self._copy_packets(until=None if complete else last * self._info.time_base + self._origin)
            if not self._begun:
                self._begin()
            self._container.close()
            chapters = [] if self._passengers is None else self._chapters(self._passengers)
            muxing.finalise(self._path, self._tracks, chapters, complete)
        except (av.FFmpegError, OSError) as error:
            self._broken = True
            self._give_up()
            raise write_failure(self._path, error, part_path(self._path)) from error
        finally:
            if self._passengers is not None:
                self._passengers.leave()

    def _give_up(self) -> None:
        """Closes the part where there is nothing to finalise; what it holds stays."""
        with contextlib.suppress(av.FFmpegError, OSError):
            self._container.close()
        if not self._begun:
            part_path(self._path).unlink(missing_ok=True)

    def _picture(self, frame: Frame, packed: VideoFrame) -> VideoFrame:
        """The encoder's frame of a packed picture, at its time."""
        if self._restarts and not self._begun and self._pending is None:
            self._origin = frame.seconds
        picture = self._reformatter.reformat(
            packed,
            format=self._encoder.pixel_format,
            dst_colorspace=self._matrix,
            dst_color_range=self._info.colour.range or 1,
            # One or two levels of 255 are lost to rounding here; ACCURATE_RND: 7.6 ms instead of 2.6 ms at 720p.
            interpolation=Interpolation.BILINEAR,
        )
        picture.pts = frame.pts - round(self._origin / frame.time_base)
        picture.time_base = frame.time_base
        return picture

    def _encode(self, picture: VideoFrame | None) -> None:
        if picture is not None:
            self._durations[_pts(picture)] = self._step
        for packet in self._video.encode(picture):
            # Few encoders pass durations on, and a container cuts the last picture off that has none.
            packet.duration = self._durations.pop(packet.pts or 0, self._step)
            self._send(packet)

    def _copy_packets(self, until: Fraction | None) -> None:
        """Copies what travels beside the pictures, up to that time on the source's clock."""
        if self._passengers is None:
            return
        for packet in self._passengers.take(until):
            copy = self._copies.get(packet.stream_index)
            if copy is None:
                continue
            muxing.shift_packet(packet, -round(self._origin / packet.time_base))
            begins = packet.pts if packet.pts is not None else packet.dts
            if self._restarts and begins is not None and begins < 0:
                continue  # sound from before the recording was switched on
            for whole in self._stripped(packet, copy):
                whole.stream = copy
                self._send(whole)

    def _stripped(self, packet: "Packet[Stream]", copy: Stream) -> "list[Packet[Stream]]":
        """The packet as the container wants it, which is nearly always as it is."""
        if copy.index not in self._strippers:
            self._strippers[copy.index] = muxing.header_stripper(self._container.format.name, copy, packet)
        stripper = self._strippers[copy.index]
        return [packet] if stripper is None else list(stripper.filter(packet))

    def _send(self, packet: "Packet[Stream]") -> None:
        """Muxes a packet, or keeps it until the container can be begun."""
        if self._begun:
            self._mux(packet)
            return
        self._early.append(packet)
        times = [early.dts * early.time_base for early in self._early if early.dts is not None]
        if self._all_have_begun() or (times and max(times) - min(times) > _PATIENCE):
            self._begin()

    def _all_have_begun(self) -> bool:
        return len({early.stream_index for early in self._early}) == len(self._container.streams)

    def _begin(self) -> None:
        muxing.begin_part(self._container, self._all_have_begun())
        self._begun = True
        early, self._early = self._early, []
        for packet in early:
            self._mux(packet)

    def _mux(self, packet: "Packet[Stream]") -> None:
        index = packet.stream_index
        if packet.dts is not None:
            dts = max(packet.dts, self._last_dts.get(index, packet.dts - 1) + 1)
            if dts != packet.dts:  # muxers refuse what does not go forward
                packet.pts = None if packet.pts is None else max(packet.pts, dts)
                packet.dts = dts
            self._last_dts[index] = dts
        self._tracks[index].note(packet)
        self._container.mux(packet)

    def _add_video(self) -> VideoStream:
        try:
            stream = self._container.add_stream(self._encoder.name, rate=self._info.rate or Fraction(25))
        except ValueError as error:
            raise UsageError(
                f"{self._path.suffix} cannot hold what {self._encoder.name} encodes.", "Name another suffix or --codec."
            ) from error
        assert isinstance(stream, VideoStream)
        self._encoder.configure(stream.codec_context, self._info)
        stream.time_base = self._info.time_base
        return stream

    def _board(self, passengers: Passengers) -> None:
        """Takes the passengers if they are still to be had, and says so if not."""
        with passengers.boarding() as on_board:
            if on_board:
                self._passengers = passengers
                self._take_aboard(passengers)
        if on_board:
            return
        if not passengers.closed:
            self.notes.append(f"{self._path.name} has no sound: it goes to another output already.")
        elif self._info.has_audio:
            self.notes.append(f"{self._path.name} has no sound: that of the source has ended.")

    def _take_aboard(self, passengers: Passengers) -> None:
        """Makes a stream for each passenger that the container can carry, and names those that stay behind."""
        left = [stream_name(s) for s in passengers.others if s.type != "attachment"]
        for stream in passengers.streams:
            try:
                self._copies[stream.index] = muxing.copy_stream(self._container, stream)
            except ValueError:
                left.append(stream_name(stream))
        for stream in passengers.others:
            if stream.type == "attachment":
                try:
                    muxing.copy_stream(self._container, stream)
                except ValueError:
                    left.append(stream_name(stream))
        if left:
            self.notes.append(f"{self._path.suffix} cannot carry {', '.join(left)}; left out of {self._path.name}.")

    def _chapters(self, passengers: Passengers) -> "list[Chapter]":
        """The source's chapters as far as they lie in the output, on its clock."""
        end = _pts(self._pending) * self._info.time_base if self._pending is not None else Fraction(0)
        kept: list[Chapter] = []
        for chapter in passengers.chapters:
            base = chapter["time_base"] or Fraction(1, 1000)
            shift = round(self._origin / base)
            start, stop = max(0, chapter["start"] - shift), chapter["end"] - shift
            if stop > 0 and start * base <= end:
                kept.append({**chapter, "start": start, "end": stop})
        return kept


def _pts(picture: VideoFrame) -> int:
    assert picture.pts is not None
    return picture.pts
