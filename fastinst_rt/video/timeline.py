"""Presentation timestamps that always go forward, with the source's own numbers wherever they do."""

from fractions import Fraction

_JUMP = Fraction(1)
"""Seconds backwards that mean the clock was set anew (a spliced stream); less is a muxer's slip."""


class Timeline:
    """Passes timestamps through, and repairs those that are missing or go backwards.

    Args:
        time_base: seconds a unit.
        rate: frames a second, for the length of a frame whose timestamp is missing.

    Attributes:
        missing, backwards: how many were repaired, by cause.
        offset: units added since the source set its clock back.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None) -> None:
        self.missing = 0
        self.backwards = 0
        self.offset = 0
        self._step = max(1, round(1 / ((rate or Fraction(25)) * time_base)))
        self._jump = _JUMP / time_base
        self._last: int | None = None

    def place(self, pts: int | None) -> int:
        """The frame's timestamp: its own where that is later than the one before."""
        if pts is None:
            self.missing += 1
            pts = 0 if self._last is None else self._last + self._step
        else:
            pts += self.offset
            if self._last is not None and pts <= self._last:
                self.backwards += 1
                if self._last - pts > self._jump:
                    self.offset += self._last + self._step - pts
                    pts = self._last + self._step
                else:
                    pts = self._last + 1
        self._last = pts
        return pts

    def notes(self) -> list[str]:
        """What was repaired, one sentence each."""
        said = []
        if self.missing:
            said.append(f"{self.missing} frames had no timestamp; each was put one frame after the one before.")
        if self.backwards:
            said.append(f"{self.backwards} timestamps went backwards and were moved behind the one before.")
        return said
