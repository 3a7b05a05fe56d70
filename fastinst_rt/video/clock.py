"""Waiting that can be interrupted: playing at natural speed, and pauses that grow between attempts."""

import threading
import time
from fractions import Fraction

_PAUSED = 1.0
"""Seconds late from which on playing was paused: it goes on from here, and does not rush to catch up."""


class Pacer:
    """Holds frames back until their time has come, measured from the first one."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._zero: float | None = None

    def wait(self, seconds: Fraction) -> bool:
        """Waits until the frame of that presentation time is due; False when stopped meanwhile.

        A frame that is late is let through at once and the schedule is kept, so that lateness does not add up; after
        a pause the schedule begins anew.
        """
        now = time.monotonic()
        if self._zero is None or now - (self._zero + float(seconds)) > _PAUSED:
            self._zero = now - float(seconds)
        due = self._zero + float(seconds) - now
        return not self._stopped.wait(max(0.0, due))


class Backoff:
    """Pauses between attempts to re-open: 0.5 s, 1 s, 2 s, ... up to 10 s; back to the first after a success."""

    def __init__(self, stopped: threading.Event, first: float = 0.5, longest: float = 10.0) -> None:
        self._stopped = stopped
        self._first = first
        self._longest = longest
        self._next = first

    def wait(self) -> bool:
        """Waits for the next attempt; False when stopped meanwhile."""
        pause, self._next = self._next, min(self._longest, 2 * self._next)
        return not self._stopped.wait(pause)

    def reset(self) -> None:
        """The attempt succeeded."""
        self._next = self._first
