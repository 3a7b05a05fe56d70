"""Interlaced streams -> whole frames, as many as before and at the same times."""

from collections.abc import Iterator
from fractions import Fraction

from av.error import BlockingIOError as NotYet
from av.error import EOFError as Drained
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

_INTERLACED_ORDERS = (2, 3, 4, 5)
"""AVFieldOrder: TT, BB, TB, BT."""


def is_interlaced(stream: VideoStream, first: VideoFrame) -> bool:
    """Whether the stream says that its pictures are woven from two fields."""
    return first.interlaced_frame or stream.codec_context.field_order in _INTERLACED_ORDERS


class Deinterlacer:
    """FFmpeg's yadif, one frame out for each frame in; it holds one frame back."""

    def __init__(self, first: VideoFrame, time_base: Fraction) -> None:
        self._time_base = time_base
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=first.width, height=first.height, format=first.format, time_base=time_base
        )
        yadif = self._graph.add("yadif", "mode=send_frame:deint=interlaced")
        sink = self._graph.add("buffersink")
        source.link_to(yadif)
        yadif.link_to(sink)
        self._graph.configure()
        self._source, self._sink = source, sink

    def push(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """The frames that are ready after this one (None: the last has gone in), with pts in the stream's time base."""
        self._source.push(frame)
        while True:
            try:
                ready = self._sink.pull()
            except (NotYet, Drained):
                return
            assert isinstance(ready, VideoFrame)
            assert ready.pts is not None
            assert ready.time_base is not None
            ready.pts = round(ready.pts * ready.time_base / self._time_base)  # yadif counts in half units
            ready.time_base = self._time_base
            yield ready
