"""Several frames in the network at once: the same order, the same ends, the same sums as with one."""

import threading
import time

import numpy as np
import numpy.typing as npt
import pytest

from fastinst_rt.errors import EngineError
from fastinst_rt.results import Instances, Timings
from fastinst_rt.video.pipeline import Pipeline
from fastinst_rt.video.plan import Plan
from fastinst_rt.video.summary import Summary
from fastinst_rt.video.watchdog import Patience

from .stages import CountingSource, MemorySink, disc


class UnevenNetwork:
    """Takes longer for some frames than for others, and signs its instances with the frame's index (as engine time)."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.calls: list[int] = []
        self.threads: set[int] = set()
        self._fail_at = fail_at
        self._seconds = np.random.default_rng(0).uniform(0, 0.006, 256)

    def __call__(self, image: npt.NDArray[np.uint8]) -> Instances:
        index = int(image[0, 0, 0])
        self.calls.append(index)
        self.threads.add(threading.get_ident())
        time.sleep(self._seconds[index])
        if index == self._fail_at:
            raise RuntimeError("shapes cannot be multiplied")
        return disc(image.shape[:2], Timings(engine=float(index)))


def nothing_lost(summary: Summary | None) -> bool:
    return summary is not None and summary.frames_in == summary.frames_out + sum(summary.drops.values())


def test_frames_are_in_the_network_at_once() -> None:
    meeting = threading.Barrier(2)

    def network(image: npt.NDArray[np.uint8]) -> Instances:
        meeting.wait(10)  # a thread that is alone would wait in vain
        return disc(image.shape[:2])

    summary = Pipeline(CountingSource(20), network, [sink := MemorySink()], concurrency=2).run()
    assert sink.indices == list(range(20))
    assert summary.concurrency == 2


def test_order_and_instances_are_those_of_the_frames() -> None:
    network, sink = UnevenNetwork(), MemorySink()
    summary = Pipeline(CountingSource(100), network, [sink], concurrency=3).run()
    assert len(network.threads) == 3
    assert sink.indices == [found.timings.engine for found in sink.found] == list(range(100))
    assert summary.efficiency <= 1.05
    assert nothing_lost(summary)


def test_held_instances_are_those_of_the_frame_before() -> None:
    network, sink = UnevenNetwork(), MemorySink()
    source = CountingSource(20, sizes=[(72, 128)] * 14 + [(80, 80)] * 6)
    Pipeline(source, network, [sink], Plan(every_nth=4), concurrency=3).run()
    assert sorted(network.calls) == [0, 4, 8, 12, 14, 16]
    assert [found.timings.engine for found in sink.found] == [0] * 4 + [4] * 4 + [8] * 4 + [12] * 2 + [14] * 2 + [
        16
    ] * 4


@pytest.mark.parametrize("fail_at", [0, 1, 37])
def test_frames_before_a_failure_come_out_and_none_after_it(fail_at: int) -> None:
    sink = MemorySink()
    pipeline = Pipeline(CountingSource(100), UnevenNetwork(fail_at), [sink], concurrency=3)
    with pytest.raises(EngineError, match=f"frame {fail_at}: RuntimeError: shapes cannot"):
        pipeline.run()
    assert sink.indices == list(range(fail_at))
    assert sink.ended == ["abort"]
    assert pipeline.summary is not None
    assert pipeline.summary.drops["failed"] == 1
    assert nothing_lost(pipeline.summary)


def test_a_sink_that_fails_ends_all_threads() -> None:
    pipeline = Pipeline(CountingSource(1000), UnevenNetwork(), [MemorySink(fail_at=5)], concurrency=3)
    with pytest.raises(OSError, match="no space"):
        pipeline.run()
    assert nothing_lost(pipeline.summary)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fastinst-")]


def test_what_is_in_the_network_when_the_run_is_stopped_comes_out() -> None:
    network, sink = UnevenNetwork(), MemorySink()
    pipeline = Pipeline(CountingSource(10_000), network, [sink], concurrency=3)
    threading.Timer(0.2, pipeline.stop).start()
    summary = pipeline.run()
    assert summary.outcome == "quit"
    assert sink.indices == list(range(len(network.calls)))
    assert nothing_lost(summary)


def test_one_thread_of_several_that_stands_still_is_seen() -> None:
    source, sink = CountingSource(1000), MemorySink()

    def network(image: npt.NDArray[np.uint8]) -> Instances:
        if image[0, 0, 0] == 3:
            source.stopped.wait()
        return disc(image.shape[:2])

    plan = Plan(patience=Patience(first_infer=0.3, infer=0.3))
    with pytest.raises(EngineError, match=r"infer stage stood still for .* s on frame 3"):
        Pipeline(source, network, [sink], plan, concurrency=3).run()
    assert sink.indices[:3] == [0, 1, 2]
