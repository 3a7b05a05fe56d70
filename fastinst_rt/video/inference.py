"""The middle stage: frames in, frames with instances out, in the same order, however many are worked on at once."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from fastinst_rt.errors import EngineError, FastInstError
from fastinst_rt.results import Frame, Instances, Size
from fastinst_rt.video.meters import Meters
from fastinst_rt.video.queues import Cause, Queue, Stopped
from fastinst_rt.video.watchdog import Pulse

Segment = Callable[[npt.NDArray[np.uint8]], Instances]
"""uint8 [H, W, 3] BGR -> its instances; a `Segmenter` is one."""

Taken = TypeVar("Taken")


@dataclass(frozen=True, slots=True)
class Segmented:
    """A frame on its way from inference to render."""

    frame: Frame
    instances: Instances
    infer: float
    """Seconds; 0 where the instances are those of an earlier frame."""


class Inference:
    """Takes frames, asks the network, passes frames and instances on in the order of the frames.

    Args:
        segment: the network with what belongs to it.
        every_nth: the network sees every n-th frame; those between get the instances of the one before.
        captured, segmented: the queues before and after.
        meters: told of every inference.
    """

    def __init__(
        self, segment: Segment, every_nth: int, captured: Queue[Frame], segmented: Queue[Segmented], meters: Meters
    ) -> None:
        self._segment = segment
        self._every_nth = every_nth
        self._captured = captured
        self._segmented = segmented
        self._meters = meters
        self._line = _Line()
        self._seen: Size | None = None
        self._held: Instances | None = None

    def work(self, pulse: Pulse) -> None:
        """One thread's part, until there are no more frames; a frame that fails ends the work on all after it.

        Raises:
            Ended: every frame has been passed on.
            Stopped: nobody wants more of them; those in hand were dropped and counted.
            FastInstError: the network failed.
        """
        while True:
            place, (frame, asked) = self._line.join(self._next_frame)
            before = time.monotonic()
            found = self._ask(frame, pulse) if asked else None
            seconds = time.monotonic() - before
            try:
                with self._line.turn(place):
                    self._pass_on(frame, found, seconds)
            except _Broken:
                self._meters.dropped(Cause.STOPPED)
                raise Stopped from None

    def _next_frame(self, place: int) -> tuple[Frame, bool]:
        """The next frame, at that place in the line, and whether the network is to see it."""
        frame = self._captured.get()
        size = (frame.image.shape[0], frame.image.shape[1])
        asked = place % self._every_nth == 0 or size != self._seen
        self._seen = size
        return frame, asked

    def _ask(self, frame: Frame, pulse: Pulse) -> Instances | FastInstError:
        """What the network found, or why it failed: told in turn, after the frames before."""
        try:
            with pulse.working(f"frame {frame.index}"):
                return self._segment(frame.image)
        except FastInstError as error:
            return error
        except Exception as error:
            failure = EngineError(
                f"The network failed on frame {frame.index}: {type(error).__name__}: {error}",
                "Run again with --verbose to see where, or with --backend eager.",
            )
            failure.__cause__ = error
            return failure

    def _pass_on(self, frame: Frame, found: Instances | FastInstError | None, seconds: float) -> None:
        if isinstance(found, FastInstError):
            self._meters.dropped(Cause.FAILED)
            raise found
        if found is None:
            seconds = 0.0
        else:
            self._held = found
            self._meters.inferred(seconds, found.timings)
        assert self._held is not None, "the network is asked about the first frame"
        self._segmented.put(Segmented(frame, self._held, seconds))


class _Broken(Exception):  # noqa: N818 (a signal, no error)
    """Somebody before in the line failed."""


class _Line:
    """Threads that take things one after the other and give back what they made of them in the same order."""

    def __init__(self) -> None:
        self._taking = threading.Lock()
        self._moved = threading.Condition()
        self._joined = self._served = 0
        self._broken = False

    def join(self, take: Callable[[int], Taken]) -> tuple[int, Taken]:
        """Takes the next thing, told its place in the line, and gives both; others wait meanwhile."""
        with self._taking:
            taken = take(self._joined)
            self._joined += 1
            return self._joined - 1, taken

    @contextmanager
    def turn(self, place: int) -> Iterator[None]:
        """Waits for all before in the line; what fails within ends the line.

        Raises:
            _Broken: somebody before failed.
        """
        with self._moved:
            self._moved.wait_for(lambda: self._broken or self._served == place)
            if self._broken:
                raise _Broken
        try:
            yield
        except BaseException:
            self._broken = True
            raise
        finally:
            with self._moved:
                self._served += 1
                self._moved.notify_all()
