"""The pipeline: nothing lost, nothing reordered, every end an orderly one."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from fastinst_rt.errors import EngineError, OutputError, SourceLostError
from fastinst_rt.results import Instances
from fastinst_rt.video import watchdog
from fastinst_rt.video.pipeline import Pipeline
from fastinst_rt.video.plan import Plan
from fastinst_rt.video.queues import Policy
from fastinst_rt.video.summary import Summary
from fastinst_rt.video.watchdog import Patience, Pulse, Watchdog

from .stages import CountingSource, MemorySink, SleepingNetwork, disc


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 2
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        next(iter(left)).join(0.1)
    assert not left


def later(seconds: float, action: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, action)
    timer.start()


class TestEvery:
    def test_all_frames_come_out_in_order_with_their_pts(self) -> None:
        source, network, sink = CountingSource(50), SleepingNetwork(), MemorySink()
        summary = Pipeline(source, network, [sink], model="m", engine="e").run()
        assert sink.indices == network.calls == list(range(50))
        assert sink.pts == [1000 + 7 * i for i in range(50)]
        assert sink.ended == ["close"]
        assert source.closed
        assert (summary.outcome, summary.frames_in, summary.frames_out, summary.drops) == ("complete", 50, 50, {})
        assert (summary.model, summary.engine, summary.policy) == ("m", "e", "every")

    def test_a_fast_source_waits_for_a_slow_network(self) -> None:
        source, sink = CountingSource(40), MemorySink()
        pipeline = Pipeline(source, SleepingNetwork(0.01), [sink], Plan(queue=3))
        ahead: list[int] = []
        pipeline.run(on_progress=lambda state: ahead.append(state.frames_in - state.frames_out))
        assert sink.indices == list(range(40))
        assert max(ahead) <= 3 + 3 + 3  # two queues, and one frame in the hands of each stage

    def test_live_source_loses_nothing_when_told_so(self) -> None:
        source, sink = CountingSource(30, period=0.005, live=True), MemorySink()
        summary = Pipeline(source, SleepingNetwork(0.012), [sink], Plan(policy=Policy.EVERY)).run()
        assert sink.indices == list(range(30))
        assert summary.drops == {}

    def test_empty_source(self) -> None:
        sink = MemorySink()
        summary = Pipeline(CountingSource(0), SleepingNetwork(), [sink]).run()
        assert summary.frames_out == 0
        assert sink.ended == ["close"]


class TestFreshest:
    def test_newest_wins_and_every_drop_is_counted(self) -> None:
        source, sink = CountingSource(60, period=0.005, live=True), MemorySink()
        summary = Pipeline(source, SleepingNetwork(0.02), [sink]).run()
        assert summary.policy == "freshest"
        assert sink.indices == sorted(set(sink.indices))
        assert summary.frames_in == 60 == summary.frames_out + sum(summary.drops.values())
        assert summary.drops["replaced"] >= 20
        assert sink.indices[-1] == 59

    def test_frame_age_stays_flat(self) -> None:
        """The oldest a frame can be: one source period in the slot, one inference, one more in front of the render."""
        source, sink = CountingSource(75, period=1 / 60, live=True), MemorySink(work=0.003)
        summary = Pipeline(source, SleepingNetwork(0.03), [sink]).run()
        assert summary.age.p50 < 1 / 60 + 0.03 + 0.003 + 0.04
        # a busy machine stretches single inferences; that is no queue
        assert summary.age.p95 < 1 / 60 + max(0.03, summary.stages["infer"].p95) + 0.003 + 0.04

    def test_stale_frames_are_dropped(self) -> None:
        """The second frame waits 0.7 s for the network and is older than 0.5 s by then."""
        source, sink = CountingSource(2, period=0.1, live=True), MemorySink()
        summary = Pipeline(source, SleepingNetwork(0.8), [sink]).run()
        assert summary.drops == {"stale": 1}
        assert sink.indices == [0]


def test_stages_overlap() -> None:
    """Three stages of 10 ms a frame take little more than the slowest, not the sum."""
    source, sink = CountingSource(50, work=0.01), MemorySink(work=0.01)
    summary = Pipeline(source, SleepingNetwork(0.01), [sink]).run()
    assert summary.overlap > 1.8
    assert summary.efficiency > 0.6
    assert sum(stage.total for stage in summary.stages.values()) > 1.8 * summary.wall_seconds


def test_one_thread_calls_the_network_and_it_is_not_the_main_one() -> None:
    network = SleepingNetwork()
    Pipeline(CountingSource(10), network, [MemorySink()]).run()
    assert len(network.threads) == 1
    assert threading.get_ident() not in network.threads


def test_overlay_is_drawn_only_for_those_who_want_it() -> None:
    plain, painted = MemorySink(needs_overlay=False), MemorySink()
    Pipeline(CountingSource(3), SleepingNetwork(), [plain]).run()
    assert not any(plain.annotated)
    plain = MemorySink(needs_overlay=False)
    Pipeline(CountingSource(3), SleepingNetwork(), [plain, painted]).run()
    assert all(painted.annotated)


def test_network_on_every_third_frame_holds_the_instances_between() -> None:
    network, sink = SleepingNetwork(), MemorySink()
    summary = Pipeline(CountingSource(10), network, [sink], Plan(every_nth=3)).run()
    assert network.calls == [0, 3, 6, 9]
    assert sink.indices == list(range(10))
    assert sink.found[4] is sink.found[3]
    assert (summary.frames_inferred, summary.frames_out) == (4, 10)


def test_held_instances_do_not_outlive_a_change_of_size() -> None:
    network, sink = SleepingNetwork(), MemorySink()
    source = CountingSource(4, sizes=[(72, 128), (72, 128), (80, 80), (80, 80)])
    Pipeline(source, network, [sink], Plan(every_nth=10)).run()
    assert network.calls == [0, 2]
    assert [found.size for found in sink.found] == [(72, 128), (72, 128), (80, 80), (80, 80)]


def test_limits() -> None:
    sink = MemorySink()
    assert Pipeline(CountingSource(100), SleepingNetwork(), [sink], Plan(frames=7)).run().outcome == "complete"
    assert sink.indices == list(range(7))
    before = time.monotonic()
    Pipeline(CountingSource(10_000, period=0.01), SleepingNetwork(), [MemorySink()], Plan(seconds=0.3)).run()
    assert 0.25 < time.monotonic() - before < 1.5


def test_time_limit_ends_a_run_whose_source_was_lost() -> None:
    sink = MemorySink()
    pipeline = Pipeline(CountingSource(10, stall_at=3), SleepingNetwork(), [sink], Plan(seconds=0.3))
    looks: list[object] = []

    def look(state: object) -> None:
        looks.append(state)
        if len(looks) == 50:
            pipeline.stop()

    assert pipeline.run(on_progress=look).outcome == "complete"
    assert sink.indices == [0, 1, 2]
    assert sink.ended == ["close"]


class TestFailures:
    def test_network_that_raises_on_frame_37(self) -> None:
        source, first, second = CountingSource(100), MemorySink(), MemorySink()
        pipeline = Pipeline(source, SleepingNetwork(fail_at=37), [first, second])
        with pytest.raises(EngineError, match="frame 37: RuntimeError: shapes cannot") as caught:
            pipeline.run()
        assert isinstance(caught.value.__cause__, RuntimeError)
        assert first.indices == second.indices == list(range(37))  # what was ready is not thrown away
        assert first.ended == second.ended == ["abort"]
        assert source.stopped.is_set()
        assert source.closed
        summary = pipeline.summary
        assert summary is not None
        assert summary.outcome == "failed"
        assert summary.drops["failed"] == 1
        assert summary.frames_in == summary.frames_out + sum(summary.drops.values())

    def test_source_that_breaks_off_keeps_what_it_delivered(self) -> None:
        error = SourceLostError("The file ends early.", "Copy it again.")
        sink = MemorySink()
        with pytest.raises(SourceLostError) as caught:
            Pipeline(CountingSource(20, error=error), SleepingNetwork(0.005), [sink]).run()
        assert caught.value is error
        assert sink.indices == list(range(20))
        assert sink.ended == ["abort"]

    def test_sink_that_fails_takes_the_others_to_an_orderly_end(self) -> None:
        bad, good = MemorySink(fail_at=5), MemorySink()
        with pytest.raises(OSError, match="no space"):
            Pipeline(CountingSource(1000), SleepingNetwork(), [good, bad]).run()
        assert bad.ended == good.ended == ["abort"]

    def test_sink_that_cannot_be_finalised(self) -> None:
        good, bad = MemorySink(), MemorySink(close_error=True)
        with pytest.raises(OSError, match="cannot finalise"):
            Pipeline(CountingSource(5), SleepingNetwork(), [bad, good]).run()
        assert bad.ended == ["close", "abort"]
        assert good.ended in (["close"], ["abort"])

    def test_what_the_main_thread_does_may_fail(self) -> None:
        sink = MemorySink()

        def broken(_: float) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            Pipeline(CountingSource(10_000), SleepingNetwork(0.001), [sink]).run(attend=broken)
        assert sink.ended == ["abort"]


class TestWatchdog:
    def test_it_names_the_source(self) -> None:
        sink = MemorySink()
        pipeline = Pipeline(
            CountingSource(20, stall_at=5), SleepingNetwork(), [sink], Plan(patience=Patience(warn=0.1, source=0.4))
        )
        with pytest.raises(SourceLostError, match=r"The source stage stood still .* on frame 5"):
            pipeline.run()
        assert sink.indices == list(range(5))
        assert sink.ended == ["abort"]
        assert pipeline.summary is not None
        assert any("source stage stood still" in warning for warning in pipeline.summary.warnings)

    def test_it_names_the_network(self) -> None:
        with pytest.raises(EngineError, match=r"The infer stage stood still .* on frame 0"):
            Pipeline(
                CountingSource(5), SleepingNetwork(1.0), [MemorySink()], Plan(patience=Patience(first_infer=0.3))
            ).run()

    def test_it_names_the_render(self) -> None:
        with pytest.raises(OutputError, match=r"The render stage stood still"):
            Pipeline(
                CountingSource(1), SleepingNetwork(), [MemorySink(work=1.0)], Plan(patience=Patience(render=0.3))
            ).run()

    @pytest.mark.parametrize(("kind", "live"), [("stdin", False), ("camera", True)])
    def test_it_waits_for_live_sources_and_stdin_but_not_for_their_network(self, kind: str, live: bool) -> None:
        def run(network: Callable[[npt.NDArray[np.uint8]], Instances], source: CountingSource) -> Summary:
            source.info = replace(source.info, kind=kind)
            plan = Plan(patience=Patience(source=0.0, first_infer=0.3))
            pipeline = Pipeline(source, network, [MemorySink()], plan)
            looks: list[object] = []

            def look(state: object) -> None:
                looks.append(state)
                if len(looks) == 5:
                    pipeline.stop()

            return pipeline.run(on_progress=look)

        assert run(SleepingNetwork(), CountingSource(5, stall_at=2, live=live)).outcome == "quit"
        source = CountingSource(1, live=live)

        def stuck(image: npt.NDArray[np.uint8]) -> Instances:
            source.stopped.wait()
            return disc(image.shape[:2])

        with pytest.raises(EngineError, match="infer stage stood still"):
            run(stuck, source)

    def test_time_in_which_the_whole_process_stood_still_is_nobodys_fault(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
        monkeypatch.setattr(watchdog, "time", clock)
        pulse = Pulse("infer")
        dog = Watchdog([pulse], Patience(warn=5.0, first_infer=10.0))
        with pulse.working("frame 0"):
            for pause in (0.5, 60.0, *[0.5] * 8):  # Ctrl-Z, a minute, fg
                clock.now += pause
                dog.check()
            assert pulse.still_for()[0] == 4.5
            assert dog.warnings == []
            for _ in range(11):
                clock.now += 0.5
                dog.check()
            assert len(dog.warnings) == 1
            clock.now += 0.9
            with pytest.raises(EngineError, match="for 11 s on frame 0"):
                dog.check()

    def test_a_piece_of_work_is_excused_no_longer_than_it_takes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = SimpleNamespace(now=100.0, monotonic=lambda: clock.now)
        monkeypatch.setattr(watchdog, "time", clock)
        pulse = Pulse("render")
        dog = Watchdog([pulse], Patience())
        clock.now += 3600
        with pulse.working("frame 0"):
            clock.now += 0.1
            dog.check()
            clock.now += 0.5
            assert pulse.still_for()[0] == pytest.approx(0.5)

    def test_a_slow_network_that_moves_is_left_alone(self) -> None:
        plan = Plan(patience=Patience(warn=0.3, source=0.3, infer=0.3, render=0.3))
        assert Pipeline(CountingSource(10), SleepingNetwork(0.1), [MemorySink()], plan).run().warnings == []


class TestStops:
    def test_stop_counts_what_it_drops(self) -> None:
        source, sink = CountingSource(1000), MemorySink()
        pipeline = Pipeline(source, SleepingNetwork(0.02), [sink])
        later(0.3, pipeline.stop)
        summary = pipeline.run()
        assert summary.outcome == "quit"
        assert 0 < summary.frames_out < 1000
        assert summary.frames_in == summary.frames_out + sum(summary.drops.values())
        assert sink.ended == ["close"]
        assert pipeline.snapshot().state == "ended"

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_signals_finalise(self, number: int) -> None:
        class Impatient(MemorySink):
            def abort(self) -> None:
                os.kill(os.getpid(), number)  # a second one breaks nothing off
                super().abort()

        sink = Impatient()
        before = signal.getsignal(number)
        pipeline = Pipeline(CountingSource(1000), SleepingNetwork(0.02), [sink])
        later(0.3, lambda: os.kill(os.getpid(), number))
        with pytest.raises(KeyboardInterrupt):
            pipeline.run()
        assert sink.ended == ["abort"]
        assert len(sink.indices) > 3
        assert signal.getsignal(number) is before
        assert pipeline.summary is not None
        assert pipeline.summary.outcome == "interrupted"

    def test_paused_run_waits_and_loses_nothing(self) -> None:
        source, sink = CountingSource(200), MemorySink()
        pipeline = Pipeline(source, SleepingNetwork(0.002), [sink], Plan(patience=Patience(render=0.3, source=0.3)))
        seen: list[int] = []
        later(0.1, pipeline.pause)
        later(0.5, lambda: seen.append(len(sink.indices)))
        later(0.8, lambda: seen.append(len(sink.indices)))
        later(0.9, lambda: pipeline.pause(False))
        pipeline.run()
        assert seen[0] == seen[1] < 200
        assert sink.indices == list(range(200))

    def test_paused_run_can_be_stopped(self) -> None:
        pipeline = Pipeline(CountingSource(10_000), SleepingNetwork(0.002), [MemorySink()])
        later(0.1, pipeline.pause)
        later(0.3, pipeline.stop)
        assert pipeline.run().outcome == "quit"


def test_sinks_come_and_go_while_it_runs() -> None:
    steady, guest = MemorySink(), MemorySink()
    pipeline = Pipeline(CountingSource(400), SleepingNetwork(0.002), [steady])
    later(0.15, lambda: pipeline.add_sink(guest))
    later(0.45, lambda: pipeline.finish_sink(guest))
    pipeline.run()
    assert steady.indices == list(range(400))
    assert 0 < len(guest.indices) < 400
    assert guest.indices == list(range(guest.indices[0], guest.indices[-1] + 1))
    assert guest.ended == ["close"]


def test_snapshot_and_summary_tell_the_same_story() -> None:
    states: list[str] = []
    pipeline = Pipeline(CountingSource(60), SleepingNetwork(0.01), [MemorySink()])
    assert pipeline.snapshot().state == "ready"
    summary = pipeline.run(on_progress=lambda state: states.append(state.state))
    assert states[0] == "running"
    last = pipeline.snapshot()
    assert (last.frames_in, last.frames_out, last.state) == (60, 60, "ended")
    assert summary.fps == pytest.approx(60 / summary.wall_seconds, rel=0.15)
    assert summary.infer_parts["engine"].p50 == pytest.approx(0.01, rel=0.05)
    assert set(summary.stages) == {"decode", "infer", "overlay", "encode"}
    assert summary.stages["infer"].frames == 60
