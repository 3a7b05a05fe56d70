"""A watchdog around things that may block for ever: they run in a thread of their own, which can be given up."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from fastinst_rt.errors import SourceLostError, SourceOpenError

T = TypeVar("T")

_CAPACITY = 2
"""Items between the two threads: one in hand, one ready; more would only be latency."""


class Pump(Generic[T]):
    """Iterates `produce()` in a daemon thread and hands its items over; silence and `stop` end the wait.

    Args:
        produce: makes the blocking iterator; called in the thread.
        release: called in the thread when it ends, whatever the reason.
        name: of the source, for the error.
        silence: seconds without an item that mean it is lost; None waits as long as it takes.
    """

    def __init__(
        self, produce: Callable[[], Iterator[T]], release: Callable[[], None], name: str, silence: float | None
    ) -> None:
        self._produce = produce
        self._release = release
        self._name = name
        self._silence = silence
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"read {name}", daemon=True)

    def __iter__(self) -> Iterator[T]:
        self._thread.start()
        while (item := self._next()) is not None:
            yield item
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Ends the iteration at once, even while the thread is stuck."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def join(self, timeout: float) -> bool:
        """Waits for the thread; whether it has ended."""
        if self._thread.ident is None:
            self._release()  # never iterated
            return True
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _next(self) -> T | None:
        deadline = None if self._silence is None else time.monotonic() + self._silence
        with self._changed:
            while not self._items and not self._ended and not self._stopped:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    self._stopped = True
                    raise SourceLostError(
                        f"{self._name} sent nothing for {self._silence:g} seconds.",
                        "Check the network or the device; what came before is kept.",
                    )
                self._changed.wait(left)
            if self._stopped or not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def _run(self) -> None:
        try:
            for item in self._produce():
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped or len(self._items) < _CAPACITY)
                    if self._stopped:
                        return
                    self._items.append(item)
                    self._changed.notify_all()
        except BaseException as error:
            self._error = error
        finally:
            self._release()
            with self._changed:
                self._ended = True
                self._changed.notify_all()


def within(
    seconds: float | None, make: Callable[[], T], dispose: Callable[[T], None], name: str, stopped: threading.Event
) -> T:
    """`make()`, given up after so many seconds; what it makes too late is disposed of.

    Raises:
        SourceOpenError: no answer in time, or stopped meanwhile; also what `make` raises.
    """
    made: list[T] = []
    errors: list[BaseException] = []
    lock = threading.Lock()
    done = threading.Event()
    abandoned = False

    def run() -> None:
        try:
            value = make()
        except BaseException as error:
            errors.append(error)
        else:
            with lock:
                if abandoned:
                    dispose(value)
                else:
                    made.append(value)
        finally:
            done.set()

    threading.Thread(target=run, name=f"open {name}", daemon=True).start()
    deadline = None if seconds is None else time.monotonic() + seconds
    while not done.wait(0.1 if deadline is None else min(0.1, max(0.0, deadline - time.monotonic()))):
        if stopped.is_set() or (deadline is not None and time.monotonic() >= deadline):
            break
    with lock:
        abandoned = True
        if made:
            return made[0]
    if errors:
        raise errors[0]
    raise SourceOpenError(
        f"{name} did not answer within {seconds:g} seconds." if seconds is not None else f"{name} was not opened.",
        "Check the address and the network, then try again.",
    )
