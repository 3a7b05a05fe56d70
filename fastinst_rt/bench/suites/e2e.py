"""Suite `e2e`: a clip from file to annotated file: one frame at a time, and through the three-stage pipeline."""

import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from fastinst_rt.bench.measure import Measurement, WarmUp, in_turn
from fastinst_rt.bench.report import Check, Report
from fastinst_rt.bench.suites.common import (
    RANDOM,
    RANDOM_NOTE,
    Run,
    Settings,
    engine_for,
    network,
    segmenter_on,
    shape_for,
    starred,
    subject_of,
)
from fastinst_rt.bench.suites.media import clip_name, default_clip, pictures, write_clip
from fastinst_rt.bench.timers import host_timer
from fastinst_rt.bench.yardstick import yardstick
from fastinst_rt.render.overlay import Overlay
from fastinst_rt.results import Frame, Size
from fastinst_rt.segmenter import Segmenter
from fastinst_rt.video.pipeline import Pipeline
from fastinst_rt.video.plan import Plan
from fastinst_rt.video.sources import Source, open_source
from fastinst_rt.video.summary import Summary
from fastinst_rt.video.video_sink import VideoSink

_DRAWN_SIZE = (720, 1280)
_YARDSTICK_CALLS = 25
_WARM_UP_FRAMES = 100


def run(settings: Settings) -> Report:
    """Measure the suite."""
    clip = default_clip(settings.clip)
    net, weights, sha256 = network(settings.model, settings.weights)
    measured = Run("e2e", f"From file to annotated file: {starred(net.spec.name, weights)}", settings)
    with tempfile.TemporaryDirectory(prefix="fastinst-bench-") as folder:
        path = clip or write_clip(Path(folder) / "drawn.mp4", pictures(None, _DRAWN_SIZE, 50))
        size = _size(path)
        shape = shape_for(net.spec, settings, size)
        engine = engine_for(net, sha256, shape, settings)
        segmenter = segmenter_on(engine, net, weights, settings)
        piped = segmenter_on(engine_for(net, sha256, shape, settings, "throughput"), net, weights, settings)
        frames = _affordable(path, segmenter, settings)
        label = f"{clip.name if clip else 'drawn clip'} {size[1]}x{size[0]}"
        subjects = {
            mode: subject_of(engine, shape, weights, id=f"e2e/{mode}", label=label, level="e2e", mode=mode)
            for mode in ("latency", "throughput")
        }
        settings.say(f"one frame at a time: {frames} frames")
        single, runs, summaries, yard = [], [], [], []
        rounds = 2 if settings.quick else 5
        warm_up = _warm_up(path, Path(folder), segmenter, piped, min(frames, _WARM_UP_FRAMES))
        timer, call = host_timer(engine.info.device), yardstick(engine.info.device)
        for number in range(rounds):
            settings.say(f"round {number + 1} of {rounds}")
            yard.append(np.empty(_YARDSTICK_CALLS))
            timer.latency(call, yard[-1])
            for mode in in_turn(("latency", "throughput"), number):
                if mode == "latency":
                    single.append(np.fromiter(_one_by_one(path, Path(folder), segmenter, frames), np.float64))
                else:
                    summaries.append(_pipelined(path, Path(folder), piped, frames))
                    runs.append(np.array([1 / summaries[-1].fps]))
    measured.put(subjects["latency"], _measurement(single, warm_up), frames=len(single[-1]))
    measured.put(subjects["throughput"], _measurement(runs, warm_up), **_facts(summaries[-1]))
    measured.yardstick = _measurement(yard, warm_up)
    notes = [
        f"Measured on {clip_name(clip)}. latency: one frame is decoded, segmented, drawn and encoded before the next. "
        "throughput: the three-stage pipeline, seconds a frame of each whole run; 'infer ms' is a frame's time in the "
        "network while as many as 'at once' says are in it.",
        "'waiting' is a frame's time in queues; 'efficiency' is the time of the busiest thread / that of the run.",
    ]
    return measured.report(_checks(single, summaries), [*notes, *([RANDOM_NOTE] if weights == RANDOM else [])])


def _size(path: Path) -> Size:
    with closing(open_source(path)) as source:
        return source.info.height, source.info.width


def _affordable(path: Path, segmenter: Segmenter, settings: Settings) -> int:
    """Frames that one round may take, found by the time of a few; at least 10."""
    with closing(open_source(path)) as source:
        first = [frame.image for frame in islice(source.frames(), 3)]
    segmenter(first[0])
    start = perf_counter()
    for image in first:
        segmenter(image)
    each = (perf_counter() - start) / len(first)
    return max(10, int(settings.protocol.seconds / max(each, 1e-4)))


def _one_by_one(path: Path, folder: Path, segmenter: Segmenter, limit: int) -> Iterator[float]:
    """Seconds of each frame: decode, segment, draw, encode, with nothing else in flight."""
    overlay = Overlay()
    with closing(open_source(path)) as source:
        sink = VideoSink(folder / "single.mp4", source, audio=False)
        frames = source.frames()
        for _ in range(limit):
            start = perf_counter()
            frame: Frame | None = next(frames, None)
            if frame is None:
                break
            instances = segmenter(frame.image)
            sink.write(frame, overlay.draw(frame.image, instances), instances)
            yield perf_counter() - start
        sink.close()


def _pipelined(path: Path, folder: Path, segmenter: Segmenter, limit: int) -> Summary:
    source: Source = open_source(path)
    sink = VideoSink(folder / "pipeline.mp4", source, audio=False)
    concurrency = segmenter.prepare((source.info.height, source.info.width)).concurrency
    return Pipeline(source, segmenter, [sink], Plan(frames=limit), concurrency=concurrency).run()


def _warm_up(path: Path, folder: Path, segmenter: Segmenter, piped: Segmenter, frames: int) -> WarmUp:
    """A short round that does not count."""
    start = perf_counter()
    calls = sum(1 for _ in _one_by_one(path, folder, segmenter, frames))
    calls += _pipelined(path, folder, piped, frames).frames_out
    return WarmUp(perf_counter() - start, calls, settled=True)


def _measurement(rounds: list[Any], warm_up: WarmUp) -> Measurement:
    blocks = np.repeat(np.arange(len(rounds)), [len(part) for part in rounds])
    return Measurement(np.concatenate(rounds), blocks, warm_up)


def _facts(summary: Summary) -> dict[str, Any]:
    busy = {name: stage.mean for name, stage in summary.stages.items()}
    waiting = summary.age.mean - busy["infer"] - busy["overlay"] - busy["encode"]
    return {
        "frames": summary.frames_out,
        "at once": summary.concurrency,
        **{f"{name} ms": seconds * 1e3 for name, seconds in busy.items()},
        "waiting ms": max(0.0, waiting) * 1e3,
        "age p95 ms": summary.age.p95 * 1e3,
        "efficiency": f"{summary.efficiency:.0%}",
    }


def _checks(single: list[Any], summaries: list[Summary]) -> list[Check]:
    one = float(np.median(np.concatenate(single)))
    many = float(np.median([1 / summary.fps for summary in summaries]))
    efficiency = float(np.median([summary.efficiency for summary in summaries]))
    lost = sum(summary.frames_in - summary.frames_out for summary in summaries)
    return [
        Check(
            "The pipeline is not slower than one frame at a time",
            f"{many * 1e3:.1f} and {one * 1e3:.1f} ms",
            many <= one,
        ),
        Check(
            "The slowest thread of the pipeline hardly waits", f"busy {efficiency:.0%} of the time", efficiency >= 0.9
        ),
        Check("No frame is lost", f"{lost} lost", lost == 0),
    ]
