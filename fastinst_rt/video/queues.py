"""Hand-over of frames between stages, by named policy; waiting is done on condition variables, never by polling."""

import threading
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Policy(StrEnum):
    """What happens when frames come faster than they are used.

    `every`: the stage before waits; nothing is lost. `freshest`: one place, the newest frame wins.
    """

    EVERY = "every"
    FRESHEST = "freshest"


class Cause(StrEnum):
    """Why a frame was dropped."""

    REPLACED = "replaced"
    """A newer frame came before the network was free."""
    STALE = "stale"
    """It had grown too old before the network was free."""
    STOPPED = "stopped"
    """It was still waiting when the run was stopped."""
    FAILED = "failed"
    """A stage failed on it."""


class Ended(Exception):  # noqa: N818 (a signal, no error)
    """Everything that was put has been taken, and nothing more will come."""


class Stopped(Exception):  # noqa: N818 (a signal, no error)
    """The run stops; what still waited was dropped."""


class Queue(Generic[Item]):
    """Lossless: `put` waits while `capacity` items are waiting.

    Args:
        capacity: items that may wait.
        on_drop: told of every item that is dropped and why; called by the thread that causes the drop.
    """

    def __init__(self, capacity: int, on_drop: Callable[[Item, Cause], None]) -> None:
        self.capacity = capacity
        self._on_drop = on_drop
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._stopped = False

    def put(self, item: Item) -> None:
        """Hands an item over.

        Raises:
            Stopped: nobody will take it; it is dropped.
        """
        with self._changed:
            self._make_room()
            if not self._stopped:
                self._items.append(item)
                self._changed.notify_all()
                return
        self._on_drop(item, Cause.STOPPED)
        raise Stopped

    def get(self) -> Item:
        """The next item; waits for it.

        Raises:
            Ended: after `close`, once all items are taken.
            Stopped: after `stop`.
        """
        with self._changed:
            while not self._items:
                if self._stopped:
                    raise Stopped
                if self._closed:
                    raise Ended
                self._changed.wait()
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Nothing more will be put; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Drops what waits and wakes everybody with `Stopped`."""
        with self._changed:
            self._stopped = True
            dropped, self._items = self._items, deque()
            self._changed.notify_all()
        for item in dropped:
            self._on_drop(item, Cause.STOPPED)

    @property
    def depth(self) -> int:
        """Items that wait now."""
        return len(self._items)

    def _make_room(self) -> None:
        while len(self._items) >= self.capacity and not self._stopped:
            self._changed.wait()


class Slot(Queue[Item]):
    """One place: `put` never waits but replaces what was not taken; `get` passes over what is too old.

    Args:
        on_drop: as for `Queue`.
        born: `time.monotonic()` of an item's birth.
        max_age: seconds after which an item is not worth taking.
    """

    def __init__(
        self, on_drop: Callable[[Item, Cause], None], born: Callable[[Item], float], max_age: float = 0.5
    ) -> None:
        super().__init__(1, on_drop)
        self._born = born
        self._max_age = max_age

    def get(self) -> Item:
        """The newest item that is not too old; waits for it."""
        while time.monotonic() - self._born(item := super().get()) > self._max_age:
            self._on_drop(item, Cause.STALE)
        return item

    def _make_room(self) -> None:
        while self._items:
            self._on_drop(self._items.popleft(), Cause.REPLACED)
