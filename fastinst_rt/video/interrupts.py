"""Ctrl-C and SIGTERM: the first one ends the run in order, and nothing breaks off the finalising of the outputs."""

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

INTERRUPTED = 130


class Interrupts:
    """While entered, the first SIGINT or SIGTERM raises KeyboardInterrupt in the main thread; later ones are held back.

    The third one ends the process at once, for those who mean it. Outside the main thread this does nothing, since
    Python delivers signals to the main thread only.
    """

    def __init__(self) -> None:
        self.received = 0
        self._shielded = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def shield(self) -> None:
        """From now on signals are only counted."""
        self._shielded = True

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (the interface of signal)
        self.received += 1
        if not self._shielded:
            self._shielded = True
            raise KeyboardInterrupt
        if self.received >= 3:
            os._exit(INTERRUPTED)
        print("finishing the output; once more to give it up", file=sys.stderr)
