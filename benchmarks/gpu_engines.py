"""The engines on the GPU: built, proven, measured interleaved; a frame through the best one; a batch."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_run import Case, Check, Plan, summary
from fastinst_rt.backends.base import Engine
from fastinst_rt.backends.eager import PRECISIONS, EagerEngine
from fastinst_rt.backends.hardware import device_kind
from fastinst_rt.backends.manifest import read_manifest
from fastinst_rt.backends.parity import GATES, compare
from fastinst_rt.backends.pictures import drawn_pictures
from fastinst_rt.backends.registry import BACKENDS
from fastinst_rt.bench.measure import Variant, measure
from fastinst_rt.bench.pictures import scene
from fastinst_rt.bench.timers import device_timer
from fastinst_rt.categories import COCO
from fastinst_rt.postprocess.on_device import DeviceInstances
from fastinst_rt.preprocess import padded_size, resize_fast
from fastinst_rt.results import Geometry


def build_engines(check: Check, found: dict[str, Any]) -> None:
    """Build and prove what must be compiled: one backend for all cases, then the next, while there is time."""
    for backend, precision in check.plan.contenders:
        for case in check.plan.cases if backend != "eager" else ():
            name = f"{backend} {precision}"
            with check.part(f"{case.name}, {name}", found) as row:
                if reason := _why_not(check, backend, precision):
                    row["left_out"] = reason
                else:
                    build(check, case, name, row)


def build(check: Check, case: Case, name: str, row: dict[str, Any], batch: int = 1) -> None:
    """Build, prove and store one engine, and say what came out."""
    start = time.monotonic()
    engine = check.open(case, name, batch)
    check.build_seconds[engine.info.backend] = time.monotonic() - start
    assert engine.info.folder is not None
    manifest = read_manifest(engine.info.folder, "")
    engine.close()
    row |= {
        "precision_found": manifest.precision_found,
        "inspection": manifest.inspection,
        "build": manifest.build,
        "files": manifest.files,
        "parity": manifest.parity,
    }
    check.built.add((case, name))


def check_case(check: Check, case: Case, found: dict[str, Any]) -> None:
    """Open every contender that there is for one network and size, and measure them interleaved."""
    engines: dict[str, Engine] = {}
    table: dict[str, Any] = {}
    found["engines"] = table
    for backend, precision in check.plan.contenders:
        name = f"{backend} {precision}"
        with check.part(name, table) as row:
            if backend != "eager" and (case, name) not in check.built:
                row["left_out"] = "it was not built"
            elif backend == "eager" and (reason := _why_not(check, backend, precision)):
                row["left_out"] = reason
            else:
                engines[name] = _open(check, case, name, row)
    found["latency"] = _latencies(check.plan, case, engines)
    found["eager_fp32_without_tf32"] = _without_tf32(check, case)
    for engine in engines.values():
        engine.close()


def _why_not(check: Check, backend: str, precision: str) -> str | None:
    kind = device_kind(check.plan.device)
    if backend == "eager":
        return None if precision in PRECISIONS[kind] else f"eager has no {precision} on {kind}"
    if obstacle := BACKENDS[backend].obstacle(kind, precision):
        return obstacle.reason
    return None if check.time_for(backend) else "no time was left for the build"


def _open(check: Check, case: Case, name: str, row: dict[str, Any]) -> Engine:
    """Open an engine that is stored, or the eager one; how long that takes, and how much of the GPU's memory."""
    free = free_memory(check.plan.device)
    start = time.monotonic()
    engine = check.open(case, name)
    row["opened_in"] = round(time.monotonic() - start, 2)
    row["memory_mib"] = round((free - free_memory(check.plan.device)) / 2**20)
    row["cuda_graph"] = getattr(engine, "uses_cuda_graph", None)
    if name == "eager fp16":
        row["parity"] = _parity(check, case, engine)
    return engine


def _parity(check: Check, case: Case, engine: Engine) -> dict[str, Any]:
    net, _ = check.network(case.model)
    reference = EagerEngine(net, case.resized, device=check.plan.device)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return compare(reference, engine, drawn_pictures(4, case.resized), GATES[engine.info.precision]).to_json()


def _latencies(plan: Plan, case: Case, engines: dict[str, Engine]) -> dict[str, Any]:
    """Milliseconds of a call with the picture on the device, all engines interleaved; throughput beside it."""
    picture = torch.from_numpy(np.stack(drawn_pictures(1, case.resized))).to(plan.device)
    variants: dict[str, Variant] = {}
    for name, engine in engines.items():
        variants[name] = Variant(_call(engine, picture), device_timer(plan.device))
        variants[f"{name}, throughput"] = Variant(_call(engine, picture), device_timer(plan.device), "throughput")
    measured = {name: summary(value) for name, value in measure(variants, plan.protocol).items()}
    first = next((measured[f"{b} {p}"] for b, p in plan.contenders if f"{b} {p}" in measured), None)
    for value in measured.values():
        value["x_reference"] = round(first["p50_ms"] / value["p50_ms"], 2) if first else None
    return measured


def _call(engine: Engine, picture: torch.Tensor) -> Callable[[], object]:
    return lambda: engine(picture)


def _without_tf32(check: Check, case: Case) -> dict[str, Any]:
    """PyTorch lets convolutions run in TF32 by default, which the paper's V100 did not have: FP32 proper."""
    engine = check.open(case, "eager fp32")
    picture = torch.from_numpy(np.stack(drawn_pictures(1, case.resized))).to(check.plan.device)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        variant = Variant(_call(engine, picture), device_timer(check.plan.device))
        return summary(measure({"": variant}, check.plan.protocol)[""])


def check_frames(check: Check, found: dict[str, Any]) -> None:
    """A frame on the host to instances on the host with the best engine of the first case, stage by stage."""
    case = check.plan.cases[0]
    name = best_engine(check, case)
    if name is None:
        found["left_out"] = f"no engine was measured for {case.name}"
        return
    start = time.monotonic()
    engine = check.open(case, name)
    found |= {"engine": name, "opened_again_in": round(time.monotonic() - start, 2)}
    image = scene(check.plan.frame)
    shape = Geometry(check.plan.frame, case.resized, padded_size(case.resized))
    on_device = DeviceInstances()
    on_gpu = device_kind(check.plan.device) == "cuda"
    stages: dict[str, list[float]] = {"resize": [], "engine": [], "instances": []}
    for _ in range(30):
        marks = [time.perf_counter()]
        picture = resize_fast(image, case.resized)
        marks.append(time.perf_counter())
        logits, masks = engine(picture[None])
        if on_gpu:
            torch.cuda.synchronize(check.plan.device)
        marks.append(time.perf_counter())
        on_device(logits[0], masks[0], shape, COCO)
        marks.append(time.perf_counter())
        for stage, seconds in zip(stages.values(), np.diff(marks), strict=True):
            stage.append(float(seconds))
    found |= {f"{stage}_ms": round(1000 * statistics.median(times), 3) for stage, times in stages.items()}
    engine.close()


def prove_risky_builds(check: Check, found: dict[str, Any]) -> None:
    """What TensorRT is known to get wrong without a word: batches (issue 4813 of NVIDIA/TensorRT), and grid_sample in
    FP32 inside an FP16 network, which the deformable convolution is (issue 4074 of pytorch/TensorRT, since 10.14).
    """
    first = check.plan.cases[0]
    for case, batch in ((first, 4), (replace(first, model="fastinst-d1-r50dcn"), 1)):
        with check.part(f"{case.name}, batch of {batch}", found) as row:
            if reason := _why_not(check, "tensorrt", "fp16"):
                row["left_out"] = reason
            else:
                build(check, case, "tensorrt fp16", row, batch)


def best_engine(check: Check, case: Case) -> str | None:
    """The quickest one of a case, as \"tensorrt fp16\"; None where none was measured."""
    latency = check.parts.get(case.name, {}).get("latency", {})
    calls = {name: value["p50_ms"] for name, value in latency.items() if "throughput" not in name}
    return min(calls, key=lambda name: calls[name]) if calls else None


def free_memory(device: str) -> int:
    """Bytes free on the GPU once torch has given back what it does not use; 0 on a CPU."""
    gc.collect()
    if device_kind(device) != "cuda":
        return 0
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info(device)[0]
