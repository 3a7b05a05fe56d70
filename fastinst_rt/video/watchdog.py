"""Tells which stage stands still: stages say when a piece of work starts and ends; waiting on a queue is none."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from fastinst_rt.errors import EngineError, FastInstError, OutputError, SourceLostError
from fastinst_rt.video.sources import SourceInfo

_SUSPENDED = 1.0
"""Seconds between two looks after which the whole process must have stood still (Ctrl-Z): no fault of a stage."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that one piece of work of a stage may take; None is for ever.

    Attributes:
        warn: after which the user is told.
        source: for the next frame. Live sources have time-outs of their own and may wait for a camera to come back,
            and stdin is as slow as who feeds it: the pipeline waits for both for ever.
        first_infer: for the first inference, which may compile.
        infer: for every other inference.
        render: for drawing and writing one frame.
    """

    warn: float = 10.0
    source: float | None = 60.0
    first_infer: float | None = 1800.0
    infer: float | None = 120.0
    render: float | None = 60.0

    def for_source(self, info: SourceInfo) -> "Patience":
        """For ever where frames are waited for: a live source may come back, and whoever feeds stdin may take time."""
        return replace(self, source=None) if info.live or info.kind == "stdin" else self


class Pulse:
    """What one stage is doing now; written by its thread, read by the watchdog."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.done = 0
        self._since: float | None = None
        self._excused = 0.0
        self._what = ""

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Marks a piece of work, e.g. `frame 37`."""
        self._what = what
        self._excused = 0.0
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None
            self.done += 1

    def still_for(self) -> tuple[float, str]:
        """Seconds the present piece of work has taken (0 when there is none), and what it is."""
        since = self._since
        return (0.0 if since is None else max(0.0, time.monotonic() - since - self._excused)), self._what

    def excuse(self, seconds: float) -> None:
        """Takes off the present piece of work, as far as it is that old, time in which it could not move."""
        self._excused += min(seconds, self.still_for()[0])


class Watchdog:
    """Looks at the pulses now and then."""

    def __init__(self, pulses: Sequence[Pulse], patience: Patience) -> None:
        self._pulses = pulses
        self._patience = patience
        self._warned: set[tuple[Pulse, int]] = set()
        self._checked_at = time.monotonic()
        self.warnings: list[str] = []

    def check(self) -> None:
        """Notes a warning for a stage that takes long.

        Raises:
            SourceLostError, EngineError, OutputError: a stage has stood still for longer than it may.
        """
        before, self._checked_at = self._checked_at, time.monotonic()
        if self._checked_at - before > _SUSPENDED:
            for pulse in self._pulses:
                pulse.excuse(self._checked_at - before)
        for pulse in self._pulses:
            stage, done = pulse.stage, pulse.done
            seconds, what = pulse.still_for()
            limit = self._limit(stage, done)
            if limit is not None and seconds > limit:
                raise _stalled(stage, seconds, what)
            if seconds > self._patience.warn and (pulse, done) not in self._warned:
                self._warned.add((pulse, done))
                self.warnings.append(f"the {stage} stage stood still for over {self._patience.warn:.0f} s on {what}")

    def _limit(self, stage: str, done: int) -> float | None:
        if stage == "infer" and done == 0:
            return self._patience.first_infer
        return {"source": self._patience.source, "infer": self._patience.infer, "render": self._patience.render}[stage]


def _stalled(stage: str, seconds: float, what: str) -> FastInstError:
    problem = f"The {stage} stage stood still for {seconds:.0f} s on {what}, so the run was stopped."
    if stage == "source":
        return SourceLostError(problem, "Check that the source still delivers; what came before has been kept.")
    if stage == "infer":
        return EngineError(problem, "Try --backend eager, or a smaller --short-side.")
    return OutputError(problem, "Check that the disk or the network drive of the output answers.")
