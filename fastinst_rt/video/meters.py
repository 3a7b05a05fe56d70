"""What a run counts and times while it runs, in constant memory and cheap enough to be always on."""

import math
import threading
import time
from array import array
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple

from fastinst_rt.results import Timings
from fastinst_rt.video.queues import Cause

STAGES = ("decode", "infer", "overlay", "encode")
"""What is timed for each frame, by the thread it happens in: source; inference; render (overlay and encode)."""

INFER_PARTS = ("resize", "engine", "select", "enlarge")
"""What `infer` is made of, as the segmenter reports it."""

WINDOW = 2.0
"""Seconds over which the current rate is counted; a count over a span stays calm where an average of gaps would not."""


class Distribution:
    """Durations: exact count, sum and extremes; percentiles to about 1 %, from logarithmic bins.

    Adding one takes 0.4 us and no memory, so a run of days costs what a run of seconds does.
    """

    _PER_DECADE = 100
    _SMALLEST = 1e-6
    _DECADES = 10

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.minimum = math.inf
        self.maximum = 0.0
        self._bins = array("Q", bytes(8 * self._PER_DECADE * self._DECADES))

    def add(self, seconds: float) -> None:
        """Takes one duration."""
        self.count += 1
        self.total += seconds
        self.minimum = min(self.minimum, seconds)
        self.maximum = max(self.maximum, seconds)
        place = int(self._PER_DECADE * math.log10(max(seconds, self._SMALLEST) / self._SMALLEST))
        self._bins[min(place, len(self._bins) - 1)] += 1

    @property
    def mean(self) -> float:
        """Seconds; 0 for no durations."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Seconds that `percent` of the durations do not exceed; 0 for no durations."""
        wanted = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        for place, number in enumerate(self._bins):
            seen += number
            if seen >= wanted:
                middle: float = self._SMALLEST * 10 ** ((place + 0.5) / self._PER_DECADE)
                return min(max(middle, self.minimum), self.maximum)
        return 0.0


class _Output(NamedTuple):
    """What is remembered of a frame that just came out."""

    at: float
    age: float
    infer: float
    engine: float


@dataclass(frozen=True, slots=True)
class Recent:
    """The last two seconds.

    Attributes:
        fps: frames that came out a second.
        engine: mean seconds in the engine (in the whole segmenter where it does not say) for frames that saw it.
        age: mean seconds from capture to the end of the last stage.
    """

    fps: float = 0.0
    engine: float = 0.0
    age: float = 0.0


@dataclass
class Meters:
    """Counters and timers of one run; every method may be called from any thread.

    Attributes:
        concurrency: frames the network sees at once.
    """

    concurrency: int = 1
    frames_in: int = 0
    frames_inferred: int = 0
    frames_out: int = 0
    drops: Counter[Cause] = field(default_factory=Counter)
    stages: dict[str, Distribution] = field(default_factory=lambda: {name: Distribution() for name in STAGES})
    parts: dict[str, Distribution] = field(default_factory=lambda: {name: Distribution() for name in INFER_PARTS})
    age: Distribution = field(default_factory=Distribution)
    first_out: float = 0.0
    last_out: float = 0.0
    _recent: deque[_Output] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def decoded(self, seconds: float) -> None:
        """A frame left the source after `seconds` of decoding (of waiting, for a live source)."""
        with self._lock:
            self.frames_in += 1
            self.stages["decode"].add(seconds)

    def dropped(self, cause: Cause) -> None:
        """A frame was dropped."""
        with self._lock:
            self.drops[cause] += 1

    def inferred(self, seconds: float, timings: Timings) -> None:
        """The network saw a frame."""
        with self._lock:
            self.frames_inferred += 1
            self.stages["infer"].add(seconds)
            for name, distribution in self.parts.items():
                if (part := getattr(timings, name)) > 0:
                    distribution.add(part)

    def delivered(self, overlay: float, encode: float, captured_at: float, infer: float, timings: Timings) -> None:
        """A frame went through all sinks."""
        now = time.monotonic()
        with self._lock:
            self.frames_out += 1
            self.first_out = self.first_out or now
            self.last_out = now
            self.stages["overlay"].add(overlay)
            self.stages["encode"].add(encode)
            self.age.add(now - captured_at)
            self._recent.append(_Output(now, now - captured_at, infer, timings.engine or infer))
            while now - self._recent[0].at > WINDOW:
                self._recent.popleft()

    def recent(self) -> Recent:
        """The last two seconds."""
        with self._lock:
            outputs = list(self._recent)
        if len(outputs) < 2:
            return Recent()
        span = max(outputs[-1].at, time.monotonic() - WINDOW / 4) - outputs[0].at  # falls when nothing comes any more
        engine = [output.engine for output in outputs if output.infer > 0]
        return Recent(
            fps=(len(outputs) - 1) / span,
            engine=sum(engine) / len(engine) if engine else 0.0,
            age=sum(output.age for output in outputs) / len(outputs),
        )

    def drops_by_name(self) -> dict[str, int]:
        """Drops by cause, as plain text."""
        with self._lock:
            return {str(cause): number for cause, number in sorted(self.drops.items())}

    @property
    def fps(self) -> float:
        """Frames a second between the first and the last one that came out."""
        span = self.last_out - self.first_out
        return (self.frames_out - 1) / span if span > 0 else 0.0
