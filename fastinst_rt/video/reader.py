"""Demuxing and decoding of one container: its frames in order, its other packets beside them."""

import time
from collections.abc import Generator, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from fastinst_rt.errors import SourceLostError, SourceOpenError, UsageError
from fastinst_rt.results import Frame
from fastinst_rt.video.deinterlace import Deinterlacer, is_interlaced
from fastinst_rt.video.passengers import Passengers, stream_name
from fastinst_rt.video.picture import PictureConverter
from fastinst_rt.video.seeking import Packets, seek_before
from fastinst_rt.video.sources import Colour, SourceInfo, SourceOptions
from fastinst_rt.video.timeline import Timeline
from fastinst_rt.video.truncation import missing_part

_COPIED = ("audio", "subtitle")


class Reader:
    """Reads an open container; the first frame is decoded at once, since only it tells size, colour and rotation.

    Args:
        container: open for reading; the reader closes it.
        name: for people.
        kind: as in `SourceInfo`.
        options: start, end, every; `live` decodes without frame threads, which would hold frames back.
        path: where it is a file.
        size: (width, height) that all frames are scaled to; the first frame's when None.

    Raises:
        SourceOpenError: it holds no picture that can be decoded.
        UsageError: a cut that cannot be meant.
    """

    def __init__(
        self,
        container: InputContainer,
        name: str,
        kind: str,
        options: SourceOptions,
        path: Path | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self._container = container
        self._name = name
        self._options = options
        self._stream = _picture_stream(container, name)
        self._stream.thread_type = "SLICE" if options.live else "AUTO"
        if not options.live:  # a file's damaged pictures come out as far as they can be concealed, as players show them
            self._stream.codec_context.flags |= Flags.output_corrupt
        self._time_base = self._stream.time_base or Fraction(1, 90000)
        self._zero = self._stream.start_time or 0
        self._rate = self._stream.average_rate or self._stream.guessed_rate
        self._timeline = Timeline(self._time_base, self._rate)
        self._damaged = self._packets = self._pictures = 0
        self._error: av.FFmpegError | None = None
        self._last_end = Fraction(0)
        self._stopped = False
        self._remarks: list[str] = []
        self.passengers = _passengers(container, self._stream)
        self._start, self._end = self._cut()
        self._ahead: Packets = self._go_to_start()
        self._decoded = self._decode()
        first = next((f for f in self._decoded if self._start is None or (f.pts or 0) >= self._start), None)
        if first is None:
            raise self._nothing_decoded()
        self._first: VideoFrame | None = first
        self._converter = PictureConverter(first, size)
        self._deinterlacer: Deinterlacer | None = None
        if is_interlaced(self._stream, first):
            self._deinterlacer = Deinterlacer(first, self._time_base)
            self._remarks.append("The stream is interlaced; its frames were deinterlaced (yadif).")
        self.info = self._describe(kind, path, first)

    @property
    def notes(self) -> list[str]:
        """What was repaired or left out so far, one sentence each."""
        said = [*self._remarks, *self._timeline.notes()]
        if self._damaged:
            lost = max(0, self._packets - self._pictures)
            said.append(f"{self._damaged} packets were damaged; {lost} pictures could not be decoded.")
        if self._converter.resized:
            said.append(f"{self._converter.resized} frames changed size and were scaled to the first one's.")
        return said

    @property
    def format(self) -> str:
        """FFmpeg's name of the container format."""
        return self._container.format.name

    def stop(self) -> None:
        """`frames` ends before its next frame; from any thread."""
        self._stopped = True

    def close(self) -> None:
        """Closes the container; nobody boards the passengers any more."""
        self.passengers.close()
        self._decoded.close()
        self._container.close()

    def frames(self) -> Iterator[Frame]:
        """The frames in order, once.

        Raises:
            SourceLostError: the container broke off, after all that could be decoded.
        """
        self.passengers.depart()
        for index, picture in enumerate(self._whole_pictures()):
            if self._stopped:
                return
            assert picture.pts is not None
            if self._end is not None and picture.pts >= self._end:
                return
            if index % self._options.every == 0:
                yield Frame(
                    index, picture.pts, self._time_base, self._converter.convert(picture), captured_at=time.monotonic()
                )
        if not self._stopped:
            self._complain_if_lost()

    def _whole_pictures(self) -> Iterator[VideoFrame]:
        """Decoded, deinterlaced frames with repaired pts, and the packets of the cut's tail sent on their way."""
        first, self._first = self._first, None
        assert first is not None
        if self._deinterlacer is None:
            yield first
            yield from self._decoded
            return
        yield from self._deinterlacer.push(first)
        for frame in self._decoded:
            yield from self._deinterlacer.push(frame)
        yield from self._deinterlacer.push(None)

    def _decode(self) -> Generator[VideoFrame, None, None]:
        for packet in self._demux():
            if packet.stream is not self._stream:
                self._send_on(packet)
                continue
            self._packets += packet.size > 0
            try:
                frames = self._stream.decode(packet)
            except av.error.InvalidDataError:
                self._damaged += 1
                continue
            yield from map(self._placed, frames)
        if self._error is not None:  # the demuxer did not get to flush the decoder
            try:
                yield from map(self._placed, self._stream.decode(None))
            except av.FFmpegError:
                return

    def _demux(self) -> "Iterator[Packet[Stream]]":
        """Packets of the picture and passenger streams, up to the end, the cut's end or the place where it breaks."""
        truncated = False
        ahead, self._ahead = self._ahead, []
        try:
            for packet in chain(ahead, self._container.demux(self._stream, *self.passengers.streams)):
                if packet.dts is None and packet.size == 0 and packet.stream is not self._stream:
                    continue  # the demuxer's own mark of the end
                if packet.is_corrupt and not truncated:
                    truncated = missing_part(self._container, self._last_end) is not None
                if truncated and packet.is_corrupt:
                    continue  # half a packet at the place of the cut: half a picture, half a sound
                if packet.pts is not None:
                    end = (packet.pts + (packet.duration or 0)) * packet.time_base
                    self._last_end = max(self._last_end, end)
                yield packet
        except av.FFmpegError as error:
            self._error = error

    def _placed(self, frame: VideoFrame) -> VideoFrame:
        self._pictures += 1
        frame.pts = self._timeline.place(frame.pts)
        return frame

    def _send_on(self, packet: "Packet[Stream]") -> None:
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            stamp = 0
        seconds = stamp * packet.time_base + self._timeline.offset * self._time_base
        ends = seconds + (packet.duration or 0) * packet.time_base
        if self._start is not None and ends <= self._start * self._time_base:
            return
        if self._end is not None and seconds >= self._end * self._time_base:
            return
        if self._timeline.offset:
            shift = round(self._timeline.offset * self._time_base / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + shift
            packet.dts = None if packet.dts is None else packet.dts + shift
        self.passengers.put(packet, seconds)

    def _cut(self) -> tuple[int | None, int | None]:
        """Start and end in units of the stream."""
        start, end = (
            None if at is None else self._zero + round(Fraction(at) / self._time_base)
            for at in (self._options.start, self._options.end)
        )
        if start is not None and end is not None and end <= start:
            raise UsageError("The end of the cut is not after its start.", "Give an --end later than --start.")
        return start, end

    def _go_to_start(self) -> Packets:
        """Puts the container before the start of the cut; the packets that this has read."""
        if self._start is None or self._start <= self._zero:
            return []
        try:
            return seek_before(self._container, self._stream, self.passengers.streams, self._start)
        except av.FFmpegError:
            self._remarks.append("The source cannot be searched; it was read from the beginning.")
            return []

    def _describe(self, kind: str, path: Path | None, first: VideoFrame) -> SourceInfo:
        stream, options = self._stream, self._options
        duration = None
        if stream.duration is not None:
            duration = stream.duration * self._time_base
        elif self._container.duration is not None:
            duration = Fraction(self._container.duration, av.time_base)
        count = stream.frames or (round(duration * self._rate) if duration and self._rate else None)
        if duration and count and (options.start or options.end):
            begin = Fraction(options.start or 0)
            kept = max(Fraction(0), min(duration, Fraction(options.end or duration)) - begin)
            count, duration = max(1, round(count * kept / duration)), kept
        if count:
            count = -(-count // options.every)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        return SourceInfo(
            name=self._name,
            kind=kind,
            width=self._converter.width,
            height=self._converter.height,
            rate=self._rate / options.every if self._rate else None,
            time_base=self._time_base,
            frame_count=count or None,
            duration=duration,
            live=options.live,
            colour=Colour(first.color_range, first.colorspace, int(first.color_primaries), int(first.color_trc)),
            sample_aspect=(1 / aspect if self._converter.rotation in (90, 270) else aspect) or Fraction(1),
            rotation=self._converter.rotation,
            codec=stream.codec_context.name,
            path=path,
            origin=Fraction(0) if self._start is None else self._start * self._time_base,
            extras=tuple(stream_name(s) for s in (*self.passengers.streams, *self.passengers.others)),
            has_audio=any(s.type == "audio" for s in self.passengers.streams),
            metadata=dict(self._container.metadata),
        )

    def _nothing_decoded(self) -> SourceOpenError | UsageError:
        if self._start is not None and self._error is None and not self._damaged:
            return UsageError(f"{self._name} ends before the start of the cut.", "Give an earlier --start.")
        return SourceOpenError(
            f"{self._name} holds no picture that can be decoded.", "Check the file with a player, or name another one."
        )

    def _complain_if_lost(self) -> None:
        reason = None
        if self._error is not None:
            reason = self._error.strerror or "read error"
        else:
            reason = missing_part(self._container, self._last_end)
        if reason is not None:
            raise SourceLostError(
                f"{self._name} broke off: {reason}.",
                "All frames up to there are in the output; fetch the source again.",
            ) from self._error


def _picture_stream(container: InputContainer, name: str) -> VideoStream:
    """The stream to segment: the best one that is no cover picture."""
    moving = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not moving:
        raise SourceOpenError(f"{name} holds no video stream.", "Name a file with moving pictures.")
    found: list[VideoStream] = [s for s in moving if s.codec_context is not None]
    if not found:
        raise SourceOpenError(
            f"{name} holds video of a codec that FFmpeg cannot decode.",
            "Convert it to H.264 with the program that made it, or name another file.",
        )
    best = container.streams.best("video")
    return best if isinstance(best, VideoStream) and best in found else found[0]


def _passengers(container: InputContainer, picture: VideoStream) -> Passengers:
    chapters = container.chapters()
    others: list[Any] = [s for s in container.streams if s is not picture]
    if chapters:
        others = [s for s in others if s.type != "data"]  # MP4 keeps chapters' titles in a stream of their own
    copied = [s for s in others if s.type in _COPIED and s.codec_context is not None]
    return Passengers(copied, [s for s in others if s not in copied], chapters)
