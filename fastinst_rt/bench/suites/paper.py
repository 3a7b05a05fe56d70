"""Suite `paper`: the published models at the paper's shapes, beside AP, GFLOPs, parameters and V100 speed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastinst_rt.backends.hardware import resolve_device
from fastinst_rt.bench.flops import multiply_adds, parameters
from fastinst_rt.bench.measure import Variant
from fastinst_rt.bench.paper import paper_tables
from fastinst_rt.bench.pictures import scene
from fastinst_rt.bench.report import Report, Subject
from fastinst_rt.bench.suites.common import (
    COCO_FRAME,
    RANDOM_NOTE,
    Run,
    Settings,
    engine_for,
    network,
    paper_settings,
    remember,
    segmenter_on,
    shape_for,
    starred,
    subject_of,
)
from fastinst_rt.bench.timers import device_timer, host_timer
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.zoo import create_model, get_spec
from fastinst_rt.preprocess import resize_fast
from fastinst_rt.results import Geometry, Size

_CITYSCAPES = (1024, 2048)
_CITYSCAPES_CLASSES = 8
_BASELINE = "mask2former-light-r50"
_NOTES = (
    "The paper's speeds are of one V100 with batch 1; clocks, precision, software and what is inside its timer are not "
    "known. Ratios to it tell an order of magnitude (see benchmarks/README.md).",
    "GFLOPs count a multiply-add once, as the paper does; ours are of this row's tensor.",
    RANDOM_NOTE,
)


def run(settings: Settings) -> Report:
    """Measure the suite."""
    settings = paper_settings(settings)
    device = resolve_device(settings.device)
    measured = Run("paper", "The paper's models on this machine", settings)
    for published in _published():
        _add(measured, settings, published, COCO_FRAME, "")
    whole = replace(settings, short_side=min(_CITYSCAPES), max_side=max(_CITYSCAPES))
    for row in paper_tables()["table_IV"]["rows"]:
        _add(measured, whole, row, _CITYSCAPES, " Cityscapes", num_classes=_CITYSCAPES_CLASSES)
    measured.measure(device)
    for found in measured.rows():
        paper_fps = found.facts.get("V100 fps")
        if found.fps is not None and paper_fps:
            measured.fact(found.subject.id, "x V100", found.fps / paper_fps)
    return measured.report(notes=_NOTES)


def _published() -> list[Mapping[str, Any]]:
    """The released models, and the baseline as the first column of table I has it."""
    tables = paper_tables()
    return [*tables["published_models"], {"model": _BASELINE, "gflops": None, **tables["table_I"]["columns"][0]}]


def _add(run: Run, settings: Settings, published: Mapping[str, Any], frame: Size, where: str, **switches: Any) -> None:
    """The rows of one model at one size of frame: levels engine and model."""
    name = published["model"]
    shape = shape_for(get_spec(name), settings, frame)
    key = f"{name}{where.lower().replace(' ', '@')}"
    facts = {
        "AP val": published["ap_val"],
        "params M": {"ours": None, "paper": published.get("params_m")},
        "GFLOPs": {"ours": None, "paper": published.get("gflops")},
        "V100 fps": published["fps_v100"],
        "x V100": None,
    }
    settings.say(f"building {key}")

    def make() -> None:
        net, weights, sha256 = network(name, **switches)
        facts["params M"] = {"ours": parameters(net) / 1e6, "paper": published.get("params_m")}
        counted = multiply_adds(lambda: create_model(name, **switches), shape.padded)
        facts["GFLOPs"] = {"ours": counted, "paper": published.get("gflops")}
        _add_levels(run, settings, net, (weights, sha256), shape, key, facts)

    run.attempt(Subject(f"{key}/engine/latency", key, "engine", model=name, padded=shape.padded), make, **facts)


def _add_levels(
    run: Run,
    settings: Settings,
    net: FastInst,
    weights: tuple[str, str | None],
    shape: Geometry,
    key: str,
    facts: dict[str, Any],
) -> None:
    engine = engine_for(net, weights[1], shape, settings)
    frame = scene(shape.frame)
    resized = resize_fast(frame, shape.resized)[None]
    label = starred(key, weights[0])
    run.add(
        subject_of(engine, shape, weights[0], id=f"{key}/engine/latency", label=label, level="engine"),
        Variant(lambda: engine(resized), device_timer(engine.info.device)),
        **facts,
    )
    if engine.info.device != "cpu":  # on a CPU a call returns when it is done: throughput would be latency again
        run.add(
            subject_of(
                engine, shape, weights[0], id=f"{key}/engine/throughput", label=label, level="engine", mode="throughput"
            ),
            Variant(lambda: engine(resized), device_timer(engine.info.device), "throughput"),
            **facts,
        )
    whole = subject_of(engine, shape, weights[0], id=f"{key}/model/latency", label=label, level="model")
    if settings.quick and engine.info.device == "cpu" and shape.resized == _CITYSCAPES:
        run.skip(whole, "The quick protocol has no time for it on a CPU.", **facts)
        return
    segmenter = segmenter_on(engine, net, weights[0], settings)
    last: list[Any] = [None]
    call = remember(lambda: segmenter(frame), last)
    run.add(
        whole,
        Variant(call, host_timer(engine.info.device)),
        **facts,
        kept=len(last[0]) if last[0] is not None else None,
    )
