"""Suite `baseline`: the published order of operations against ours, on the same picture, in one run.

The published way: the antialiased resize of PIL, the eager FP32 network, all 100 masks enlarged to the frame's size in
two steps, scores read at that size, then the choice. Ours: choose first, enlarge only what is kept, inside its box.
"""

from dataclasses import replace
from typing import Any

from fastinst_rt.backends.base import Engine
from fastinst_rt.bench.measure import Variant
from fastinst_rt.bench.report import Check, Report, Subject
from fastinst_rt.bench.statistics import paired_change
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
from fastinst_rt.bench.suites.media import clip_name, default_clip, pictures
from fastinst_rt.bench.timers import host_timer
from fastinst_rt.models.fastinst import FastInst

FRAME = (1080, 1920)


def run(settings: Settings) -> Report:
    """Measure the suite."""
    settings = replace(settings, protocol=settings.protocol.telling())
    net, weights, sha256 = network(settings.model, settings.weights)
    shape = shape_for(net.spec, settings, FRAME)
    measured = Run(
        "baseline", f"The published way and ours, 1080p frame to instances: {starred(net.spec.name, weights)}", settings
    )
    eager = engine_for(net, sha256, shape, replace(settings, backend="eager", precision="fp32"))
    clip = default_clip(settings.clip)
    (picture,) = pictures(clip, FRAME, 1)

    latest: dict[str, list[Any]] = {}

    def add(key: str, label: str, engine: Engine, model: FastInst, exact: bool) -> None:
        segmenter = segmenter_on(engine, model, weights, settings, exact)
        last: list[Any] = [None]
        call = remember(lambda: segmenter(picture), last)
        subject = subject_of(engine, shape, weights, id=f"{key}/model/latency", label=label, level="model")
        measured.add(subject, Variant(call, host_timer(engine.info.device)))
        latest[subject.id] = last

    add("published", "published way, eager", eager, net, True)
    add("ours-eager", "ours, eager", eager, net, False)
    if settings.backend != "eager":
        plain = Subject("ours/model/latency", "ours, best engine", "model", model=net.spec.name, padded=shape.padded)

        def add_best() -> None:
            best = engine_for(net, sha256, shape, settings)
            if best.info.backend == "eager":
                measured.skip(plain, f"Eager is what can run here: {best.info.reason or 'nothing else is installed'}.")
            else:
                add("ours", f"ours, {best.info.name}", best, net, False)

        measured.attempt(plain, add_best)
    found = measured.measure(eager.info.device)
    for row, (instances,) in latest.items():
        if instances is not None:
            measured.fact(row, "kept", len(instances))
            measured.fact(row, "enlarge ms", instances.timings.enlarge * 1e3)
    checks = []
    published = found["published/model/latency"]
    for key in ("ours-eager", "ours"):
        if f"{key}/model/latency" in found:
            other = found[f"{key}/model/latency"]
            gain = paired_change(published.over(other))
            measured.fact(f"{key}/model/latency", "times quicker", 1 + gain.value)
            text = f"{1 + gain.value:.2f} times, interval {1 + gain.low:.2f} to {1 + gain.high:.2f}"
            checks.append(
                Check(f"{key} is quicker than the published way", text, gain.value > 0 if gain.excludes_zero else None)
            )
    notes = [f"Measured on {clip_name(clip)} at {FRAME[1]}x{FRAME[0]}, batch 1."]
    return measured.report(checks, [*notes, *([RANDOM_NOTE] if weights == RANDOM else [])])
