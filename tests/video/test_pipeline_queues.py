"""Hand-over between stages."""

import threading
import time

import pytest

from fastinst_rt.video.queues import Cause, Ended, Queue, Slot, Stopped


class Drops(list[tuple[int, Cause]]):
    def __call__(self, item: int, cause: Cause) -> None:
        self.append((item, cause))


def test_what_was_put_before_close_is_still_taken() -> None:
    queue = Queue[int](4, Drops())
    queue.put(1)
    queue.put(2)
    queue.close()
    assert [queue.get(), queue.get()] == [1, 2]
    with pytest.raises(Ended):
        queue.get()


def test_put_waits_for_room() -> None:
    queue = Queue[int](1, Drops())
    queue.put(1)
    done = threading.Event()
    thread = threading.Thread(target=lambda: (queue.put(2), done.set()))
    thread.start()
    assert not done.wait(0.1)
    assert queue.get() == 1
    assert done.wait(1)
    thread.join()
    assert queue.depth == 1


def test_stop_wakes_a_waiting_put_and_counts_everything() -> None:
    drops = Drops()
    queue = Queue[int](1, drops)
    queue.put(1)
    raised = []

    def put() -> None:
        try:
            queue.put(2)
        except Stopped:
            raised.append(True)

    thread = threading.Thread(target=put)
    thread.start()
    time.sleep(0.05)
    queue.stop()
    thread.join(1)
    assert raised
    assert sorted(drops) == [(1, Cause.STOPPED), (2, Cause.STOPPED)]
    with pytest.raises(Stopped):
        queue.get()


def test_stop_wakes_a_waiting_get() -> None:
    queue = Queue[int](1, Drops())
    threading.Timer(0.05, queue.stop).start()
    with pytest.raises(Stopped):
        queue.get()


def test_slot_keeps_the_newest() -> None:
    drops = Drops()
    slot = Slot[int](drops, born=lambda _: time.monotonic())
    for item in (1, 2, 3):
        slot.put(item)
    assert slot.get() == 3
    assert drops == [(1, Cause.REPLACED), (2, Cause.REPLACED)]


def test_slot_passes_over_what_is_too_old() -> None:
    drops = Drops()
    birth = {1: time.monotonic() - 1, 2: time.monotonic()}
    slot = Slot[int](drops, born=birth.__getitem__, max_age=0.5)
    slot.put(1)
    threading.Timer(0.05, slot.put, [2]).start()
    assert slot.get() == 2
    assert drops == [(1, Cause.STALE)]
