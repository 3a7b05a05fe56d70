"""Suite `stages`: where the time of a frame goes, from decoding to encoding, at 480p, 720p and 1080p."""

import tempfile
from collections.abc import Mapping
from contextlib import closing
from itertools import chain, repeat
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import numpy as np

from fastinst_rt.bench.measure import Measurement, Variant
from fastinst_rt.bench.report import Check, Report, Subject
from fastinst_rt.bench.suites.common import (
    RANDOM,
    RANDOM_NOTE,
    Run,
    Settings,
    engine_for,
    network,
    remember,
    segmenter_on,
    shape_for,
    starred,
    subject_of,
)
from fastinst_rt.bench.suites.media import Picture, clip_name, default_clip, frames_of, pictures, write_clip
from fastinst_rt.bench.timers import Call, HostTimer, Seconds, host_timer
from fastinst_rt.render.overlay import Overlay
from fastinst_rt.results import Frame, Instances, Size
from fastinst_rt.video.sources import open_source
from fastinst_rt.video.video_sink import VideoSink

SIZES: Mapping[str, Size] = {"480p": (480, 854), "720p": (720, 1280), "1080p": (1080, 1920)}
PARTS = ("resize", "engine", "select", "enlarge")
_CLIP_FRAMES = 25
_EXPLAINED = 0.05


class PartsTimer(HostTimer):
    """A host timer that also notes how the segmenter's own stop-watch divided each call (after the second reading).

    Args:
        last: the list that the measured call leaves its `Instances` in.
    """

    def __init__(self, last: list[Any]) -> None:
        super().__init__()
        self._last = last
        self._windows: list[Seconds] = []

    def latency(self, call: Call, out: Seconds) -> None:
        parts = np.empty((len(out), len(PARTS)))
        now, last = perf_counter_ns, self._last
        for i in range(len(out)):
            start = now()
            call()
            end = now()
            out[i] = end - start
            timings = last[0].timings
            parts[i] = timings.resize, timings.engine, timings.select, timings.enlarge
        out *= 1e-9
        self._windows.append(parts)

    def parts(self, whole: Measurement) -> dict[str, Measurement]:
        """The stages of every sample of `whole`, which this timer took (what came before was warm-up)."""
        every = np.concatenate(self._windows)[-len(whole.samples) :]
        return {name: Measurement(every[:, i].copy(), whole.blocks, whole.warm_up) for i, name in enumerate(PARTS)}


def run(settings: Settings) -> Report:
    """Measure the suite."""
    net, weights, sha256 = network(settings.model, settings.weights)
    clip = default_clip(settings.clip)
    measured = Run("stages", f"Where the time of a frame goes: {starred(net.spec.name, weights)}", settings)
    timers: dict[str, PartsTimer] = {}
    device = "cpu"
    with tempfile.TemporaryDirectory(prefix="fastinst-bench-") as folder:
        for name, size in SIZES.items():
            settings.say(f"preparing {name}")
            shape = shape_for(net.spec, settings, size)
            engine = engine_for(net, sha256, shape, settings)
            device = engine.info.device
            segmenter = segmenter_on(engine, net, weights, settings)
            images = pictures(clip, size, _CLIP_FRAMES)
            last: list[Any] = [None]
            timers[name] = PartsTimer(last)
            turn = chain.from_iterable(repeat(images))
            subject = subject_of(
                engine, shape, weights, id=f"{name}/model", label=f"{name} frame to instances", level="model"
            )
            measured.add(subject, Variant(remember(lambda s=segmenter, t=turn: s(next(t)), last), timers[name]))  # type: ignore[misc]
            for stage, call in _outer_stages(Path(folder), name, images, last[0]).items():
                timer = host_timer("cpu")
                measured.add(_stage_subject(name, stage, subject), Variant(call, timer))
        measured.measure(device)
    rows = {row.subject.id: row for row in measured.rows()}
    finished = _by_stage(measured, rows, timers)
    checks = [check for name in SIZES for check in finished[name]]
    notes = [
        f"Measured on {clip_name(clip)}; decode and encode are per frame of an H.264 clip of {_CLIP_FRAMES} frames.",
        "'share' is of the sum of all stages. The pipeline has a thread for decoding, one or more for inference, "
        "and one for rendering: it cannot be quicker than the slowest of the three.",
    ]
    return measured.report(checks, [*notes, *([RANDOM_NOTE] if weights == RANDOM else [])])


def _stage_subject(name: str, stage: str, whole: Subject) -> Subject:
    return Subject(
        id=f"{name}/{stage}",
        label=f"{name} {stage}",
        level="stage",
        mode="throughput" if stage in ("decode", "encode") else "latency",
        model=whole.model,
        weights=whole.weights,
        backend=whole.backend,
        precision=whole.precision,
        device=whole.device,
        frame=whole.frame,
        resized=whole.resized,
        padded=whole.padded,
    )


def _outer_stages(folder: Path, name: str, images: list[Picture], instances: Instances) -> dict[str, Call]:
    """What happens before and after the segmenter; decode and encode take a whole clip a call."""
    path = write_clip(folder / f"{name}.mp4", images)
    frames = list(frames_of(images))
    overlay = Overlay()
    image = images[0]

    def decode() -> None:
        with closing(open_source(path)) as source:
            for _ in source.frames():
                pass

    def encode() -> None:
        _encode(folder / f"{name}-out.mp4", path, frames, instances)

    return {"decode": decode, "overlay": lambda: overlay.draw(image, instances), "encode": encode}


def _encode(target: Path, like: Path, frames: list[Frame], instances: Instances) -> None:
    with closing(open_source(like)) as source:
        sink = VideoSink(target, source)
        for frame in frames:
            sink.write(frame, frame.image, instances)
        sink.close()


def _by_stage(run: Run, rows: Mapping[str, Any], timers: Mapping[str, PartsTimer]) -> dict[str, list[Check]]:
    """Put the parts of each model row beside the outer stages, in the order a frame meets them, with their shares."""
    checks: dict[str, list[Check]] = {}
    for name in SIZES:
        whole = rows[f"{name}/model"]
        parts = timers[name].parts(whole.measurement)
        times = {"decode": rows[f"{name}/decode"].measurement, **parts}
        times |= {stage: rows[f"{name}/{stage}"].measurement for stage in ("overlay", "encode")}
        medians = {}
        for stage, measurement in times.items():
            if stage in ("decode", "encode"):
                measurement = _per_frame(measurement)
            medians[stage] = float(np.median(measurement.samples))
            run.put(_stage_subject(name, stage, whole.subject), measurement)
        total = sum(medians.values())
        for stage, median in medians.items():
            run.fact(f"{name}/{stage}", "share", f"{median / total:.1%}")
        run.fact(f"{name}/model", "kept", len(timers[name]._last[0]))
        checks[name] = [_explained(name, parts, whole.measurement), _bottleneck(name, medians)]
    run.arrange([f"{name}/{stage}" for name in SIZES for stage in _ORDER])
    return checks


_ORDER = ("decode", *PARTS, "model", "overlay", "encode")


def _per_frame(clip: Measurement) -> Measurement:
    return Measurement(clip.samples / _CLIP_FRAMES, clip.blocks, clip.warm_up)


def _explained(name: str, parts: Mapping[str, Measurement], whole: Measurement) -> Check:
    """Do the segmenter's own stages add up to what a clock around it sees? Of means, since medians do not add up."""
    model = float(whole.samples.mean())
    total = float(sum(part.samples.mean() for part in parts.values()))
    found = f"{total * 1e3:.2f} of {model * 1e3:.2f} ms on average, {total / model - 1:+.1%}"
    return Check(
        f"{name}: the stages add up to the model's time within 5 %", found, abs(total / model - 1) <= _EXPLAINED
    )


def _bottleneck(name: str, medians: Mapping[str, float]) -> Check:
    """The thread that decides the pipeline's speed."""
    threads = {
        "decoding": medians["decode"],
        "inference": sum(medians[part] for part in PARTS),
        "rendering": medians["overlay"] + medians["encode"],
    }
    slowest = max(threads, key=lambda thread: threads[thread])
    found = ", ".join(f"{thread} {seconds * 1e3:.2f} ms" for thread, seconds in threads.items())
    return Check(f"{name}: inference decides the speed, not what surrounds it", found, slowest == "inference")
