"""Audio and subtitle packets that travel beside the frames, from the demuxer of a source to the muxer of a sink."""

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING

from av.packet import Packet
from av.stream import Stream

if TYPE_CHECKING:
    from av.container.core import Chapter  # a TypedDict that only the stub has


def stream_name(stream: Stream) -> str:
    """A stream's name for people: `audio 1 (aac, eng)`."""
    about = [] if stream.codec_context is None else [stream.codec_context.codec.canonical_name]
    if stream.language and stream.language != "und":
        about.append(stream.language)
    return f"{stream.type} {stream.index}" + (f" ({', '.join(about)})" if about else "")


class Passengers:
    """Packets read on the way to the next frame, kept until the sink that boarded takes them.

    Packets are kept from the moment the source is open (finding its first frame reads some); if no sink has boarded
    when the frames start to flow, nothing is kept from then on. The source's thread puts, the sink's thread takes;
    memory is bounded by how far the demuxer is ahead of the sink (the pipeline's queues) and by how the file
    interleaves its streams.

    Attributes:
        streams: the streams that may be copied, as templates for a muxer. They point into the open container, so a
            sink may look at them inside `boarding` only; none once the source is closed.
        others: the same for streams that no copy can be made of (attached pictures, data, a second picture track).
        chapters: of the source, as PyAV has them.
        closed: whether the source is gone, which leaves only the packets that were read before.
    """

    def __init__(
        self, streams: Sequence[Stream], others: Sequence[Stream] = (), chapters: "Sequence[Chapter]" = ()
    ) -> None:
        self.streams = tuple(streams)
        self.others = tuple(others)
        self.chapters = tuple(chapters)
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Fraction, Packet[Stream]]] = deque()
        self._boarded = False
        self._kept = True
        self.closed = False

    @contextmanager
    def boarding(self) -> Iterator[bool]:
        """Packets are kept for the caller; from the first one if the frames do not flow yet.

        Inside `with` the source stays open, so that muxers can be given copies of `streams` and `others`.
        False where the source is closed, or another sink takes the packets already: a packet goes one way only.
        """
        with self._lock:
            free = not self._boarded and not self.closed
            if free:
                self._boarded = self._kept = True
            yield free

    def depart(self) -> None:
        """The frames start to flow: without a sink on board the packets go to nobody."""
        with self._lock:
            if not self._boarded:
                self._kept = False
                self._waiting.clear()

    def leave(self) -> None:
        """No packet is kept any more."""
        with self._lock:
            self._boarded = self._kept = False
            self._waiting.clear()

    def close(self) -> None:
        """The source is about to go: nobody boards any more; a sink on board takes what was read before."""
        with self._lock:
            self.closed = True
            self._kept = False
            self.streams = self.others = ()
            if not self._boarded:
                self._waiting.clear()

    def put(self, packet: "Packet[Stream]", seconds: Fraction) -> None:
        """Adds a packet that the demuxer read; `seconds` is its time on the source's clock."""
        with self._lock:
            if self._kept:
                self._waiting.append((seconds, packet))

    def take(self, until: Fraction | None) -> "list[Packet[Stream]]":
        """Removes the packets up to `until` seconds (all of them when None), in the order they were read."""
        taken: list[Packet[Stream]] = []
        with self._lock:
            while self._waiting and (until is None or self._waiting[0][0] <= until):
                taken.append(self._waiting.popleft()[1])
        return taken
