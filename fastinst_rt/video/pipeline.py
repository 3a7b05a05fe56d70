"""Frames through three stages, source -> inference -> render, each in its own thread; nothing is lost uncounted."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from fastinst_rt.render.overlay import Overlay
from fastinst_rt.results import Frame, Timings
from fastinst_rt.video.inference import Inference, Segment, Segmented
from fastinst_rt.video.interrupts import Interrupts
from fastinst_rt.video.meters import Meters
from fastinst_rt.video.plan import Plan
from fastinst_rt.video.queues import Cause, Ended, Policy, Queue, Slot, Stopped
from fastinst_rt.video.sinks import Sink
from fastinst_rt.video.sources import Source
from fastinst_rt.video.summary import Snapshot, Summary, summarise
from fastinst_rt.video.watchdog import Pulse, Watchdog

Attend = Callable[[float], None]
"""What the main thread does meanwhile: called again and again, returns after about the given seconds."""

DEFAULT_PLAN = Plan()
DEFAULT_OVERLAY = Overlay()

TICK = 0.1
"""Seconds between two looks of the main thread at the watchdog and the progress; the stages never wait for it."""

GRACE = {"source": 5.0, "infer": 15.0, "render": 30.0}
"""Seconds a stage gets to end the piece of work in its hands when the run stops, before it is left behind."""


class Pipeline:
    """One run of one source. `run` is called once, in the main thread; everything else from any thread.

    Args:
        source: opened; closed at the end of the run.
        segment: the network with what belongs to it.
        sinks: closed at the end of the run (`abort` where it broke off).
        overlay: how instances are drawn; may be replaced while running.
        model, engine: names for the summary.
        notes: sentences for the summary's warnings, beside those of the source, the sinks and the watchdog.
        concurrency: calls of `segment` at once, each from a thread of its own; see `EngineInfo.concurrency`.
    """

    def __init__(
        self,
        source: Source,
        segment: Segment,
        sinks: Sequence[Sink],
        plan: Plan = DEFAULT_PLAN,
        overlay: Overlay = DEFAULT_OVERLAY,
        model: str = "",
        engine: str = "",
        notes: Sequence[str] = (),
        concurrency: int = 1,
    ) -> None:
        self.source = source
        self.overlay = overlay
        self.policy = plan.policy or (Policy.FRESHEST if source.info.live else Policy.EVERY)
        self.meters = Meters(concurrency)
        self.summary: Summary | None = None
        self._plan = plan
        self._names = {"model": model, "engine": engine}
        self._sinks = list(sinks)
        self._outputs = [sink.path for sink in sinks if sink.path is not None]
        self._notes = list(notes)
        self._requests: deque[tuple[str, Sink]] = deque()
        self._captured: Queue[Frame] = self._make_queue(plan)
        self._segmented = Queue[Segmented](plan.queue if self.policy is Policy.EVERY else 1, self._count_drop)
        self._inference = Inference(segment, plan.every_nth, self._captured, self._segmented, self.meters)
        self._inferring = concurrency
        self._pulses = [Pulse(stage) for stage in ("source", *["infer"] * concurrency, "render")]
        self._watchdog = Watchdog(self._pulses, plan.patience.for_source(source.info))
        self._failure: BaseException | None = None
        self._failing = threading.Lock()
        self._counting = threading.Lock()
        self._state = "ready"
        self._quit = False
        self._unpaused = threading.Event()
        self._unpaused.set()
        self._over = threading.Event()
        self._started_at = 0.0
        self._first_at: float | None = None

    def _make_queue(self, plan: Plan) -> Queue[Frame]:
        if self.policy is Policy.EVERY:
            return Queue(plan.queue, self._count_drop)
        return Slot(self._count_drop, born=lambda frame: frame.captured_at)

    def _count_drop(self, _: object, cause: Cause) -> None:
        self.meters.dropped(cause)

    # Control, from any thread.

    def stop(self) -> None:
        """Ends the run soon: frames that wait for the network are dropped and counted, outputs are finalised."""
        self._quit = True
        if self._state == "running":
            self._state = "stopping"
        self._unpaused.set()
        self._stop_upstream()

    def pause(self, paused: bool = True) -> None:
        """Holds back the outputs; under `every` the source then waits too, so that nothing is lost."""
        if paused and self._state == "running":
            self._unpaused.clear()
        else:
            self._unpaused.set()

    def add_sink(self, sink: Sink) -> None:
        """Gives the frames from now on to one more sink."""
        self._requests.append(("add", sink))
        if sink.path is not None:
            self._outputs.append(sink.path)

    def finish_sink(self, sink: Sink) -> None:
        """Closes a sink before the end of the run."""
        self._requests.append(("finish", sink))

    def snapshot(self) -> Snapshot:
        """The state of the run now."""
        meters = self.meters
        return Snapshot(
            state=self._state,
            seconds=time.monotonic() - self._started_at if self._started_at else 0.0,
            frames_in=meters.frames_in,
            frames_inferred=meters.frames_inferred,
            frames_out=meters.frames_out,
            drops=meters.drops_by_name(),
            waiting_infer=self._captured.depth,
            waiting_render=self._segmented.depth,
            recent=meters.recent(),
        )

    # The run.

    def run(self, attend: Attend | None = None, on_progress: Callable[[Snapshot], None] | None = None) -> Summary:
        """Runs to the end of the source, or until stopped, interrupted or failed. Call it in the main thread.

        Args:
            attend: what the main thread does meanwhile, e.g. pump the events of a window; default: it waits.
            on_progress: told of the state about ten times a second, in the main thread.

        Raises:
            KeyboardInterrupt: after Ctrl-C or SIGTERM, once all outputs are final.
            SourceLostError, OutputError: as source and sinks raise them, once all outputs are final.
            EngineError: the network failed on a frame; its cause is what the network raised.
        """
        stages = {"source": self._capture, "infer": self._infer, "render": self._render}
        threads = [
            threading.Thread(  # a stuck driver blocks no exit
                target=stages[pulse.stage], args=(pulse,), name=f"fastinst-{pulse.stage}", daemon=True
            )
            for pulse in self._pulses
        ]
        with Interrupts() as interrupts:
            self._started_at = time.monotonic()
            self._state = "running"
            try:
                for thread in threads:
                    thread.start()
                while not self._over.is_set():
                    if attend is None:
                        self._over.wait(TICK)
                    else:
                        attend(TICK)
                    self._watchdog.check()
                    self._limit_reached()  # here too: a source that was lost may deliver no frame any more
                    if on_progress is not None:
                        on_progress(self.snapshot())
            except BaseException as error:
                self._fail(error)
                self.stop()
            interrupts.shield()
            self._finalise(threads)
            if interrupts.received and self._failure is None:
                self._failure = KeyboardInterrupt()
        self.summary = summarise(
            self.meters,
            self.source.info,
            time.monotonic() - self._started_at,
            self._failure,
            self._quit,
            self._names | {"policy": str(self.policy)},
            [str(path) for path in self._outputs if path.exists()],
            self._warnings(),
        )
        if self._failure is not None:
            raise self._failure
        return self.summary

    def _finalise(self, threads: Sequence[threading.Thread]) -> None:
        """Waits for the stages, closes the sinks and the source; a stage that does not come back is left behind."""
        self._state = "stopping"
        source, *infer, render = threads
        source.join(GRACE["source"])
        deadline = time.monotonic() + GRACE["infer"]
        for thread in infer:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._segmented.close()
        render.join(GRACE["render"])
        if not render.is_alive():  # a sink belongs to the render thread while that lives
            self._sinks += [sink for what, sink in self._requests if what == "add"]
            for sink in self._sinks:
                self._close(sink)
        if not source.is_alive():
            self.source.close()
        self._state = "ended"

    def _warnings(self) -> list[str]:
        notes = [note for sink in self._sinks for note in sink.notes]
        return [*self.source.notes, *self._notes, *notes, *self._watchdog.warnings]

    def _close(self, sink: Sink) -> None:
        if self._failure is not None:
            sink.abort()
            return
        try:
            sink.close()
        except Exception as error:
            self._fail(error)
            sink.abort()

    def _fail(self, error: BaseException) -> None:
        """Keeps the first failure; what fails after it is a consequence."""
        with self._failing:
            self._failure = self._failure or error

    # The stages: one thread each, inference as many as `concurrency` says.

    def _capture(self, pulse: Pulse) -> None:
        meters = self.meters
        try:
            frames = self.source.frames()
            while not self._limit_reached():
                before = time.monotonic()
                with pulse.working(f"frame {meters.frames_in}"):
                    frame = next(frames, None)
                if frame is None:
                    break
                now = time.monotonic()
                self._first_at = self._first_at or now
                meters.decoded(now - before)
                self._captured.put(frame)
        except Stopped:
            pass
        except BaseException as error:  # what was read before is still worth its way to the outputs
            self._fail(error)
        finally:
            self._captured.close()

    def _limit_reached(self) -> bool:
        """Whether the plan's last frame has come or its time is over; the source is stopped then."""
        frames, seconds, first_at = self._plan.frames, self._plan.seconds, self._first_at
        reached = (frames is not None and self.meters.frames_in >= frames) or (
            seconds is not None and first_at is not None and time.monotonic() - first_at >= seconds
        )
        if reached:
            self.source.stop()
        return reached

    def _infer(self, pulse: Pulse) -> None:
        try:
            self._inference.work(pulse)
        except Ended:
            pass
        except Stopped:
            self._stop_upstream()
        except BaseException as error:
            self._fail(error)
            self._stop_upstream()
        finally:
            with self._counting:
                self._inferring -= 1
                if not self._inferring:
                    self._segmented.close()

    def _render(self, pulse: Pulse) -> None:
        try:
            while True:
                item = self._segmented.get()
                self._unpaused.wait()
                with pulse.working(f"frame {item.frame.index}"):
                    self._serve_requests()
                    self._deliver(item)
        except (Ended, Stopped):
            pass
        except BaseException as error:
            self.meters.dropped(Cause.FAILED)
            self._fail(error)
            self._segmented.stop()
            self._stop_upstream()
        finally:
            self._over.set()

    def _stop_upstream(self) -> None:
        """Ends the source and drops what waits for the network."""
        self.source.stop()
        self._captured.stop()

    def _deliver(self, item: Segmented) -> None:
        start = time.monotonic()
        annotated = None
        if any(sink.needs_overlay for sink in self._sinks):
            annotated = self.overlay.draw(item.frame.image, item.instances)
        drawn = time.monotonic()
        for sink in self._sinks:
            sink.write(item.frame, annotated, item.instances)
        done = time.monotonic()
        timings = item.instances.timings if item.infer else Timings()
        self.meters.delivered(drawn - start, done - drawn, item.frame.captured_at, item.infer, timings)

    def _serve_requests(self) -> None:
        while self._requests:
            what, sink = self._requests.popleft()
            if what == "add":
                self._sinks.append(sink)
            elif sink in self._sinks:
                self._sinks.remove(sink)
                self._notes += sink.notes
                sink.close()
