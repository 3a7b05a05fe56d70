"""The OpenVINO backend: the default on a CPU; FP32, and INT8 by post-training quantisation.

The artefact is the compiled model as OpenVINO exports it, bound to this OpenVINO and this CPU, which the key says
anyway. Reading it back took 0.4 s of processor time for FastInst-D1-R50 in FP32 and in INT8, where compiling OpenVINO's
portable IR took 0.5 and 1.1 s.
"""

import importlib.metadata
import importlib.util
import platform
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fastinst_rt.backends.base import (
    BuildFacts,
    EngineInfo,
    EngineKey,
    Images,
    Obstacle,
    Progress,
    RunOptions,
    as_batch,
)
from fastinst_rt.backends.graph import engine_graph, export, quiet
from fastinst_rt.backends.openvino_int8 import quantised
from fastinst_rt.errors import EngineError

_COMPILED = "model.blob"
_HEAVY = {"Convolution", "GroupConvolution", "Deconvolution", "FullyConnected", "MatMul", "ScaledDotProductAttention"}
"""Layer types of OpenVINO's CPU plugin that do the multiplications, and whose precision is the engine's."""
_NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}

_MOST_AT_ONCE = 4
"""Calls under way for throughput: each holds a frame, a result and the network's intermediate maps."""

_NUMPY_IS_FOUND = threading.Lock()
"""OpenVINO's binding looks for NumPy when it first needs it. Two threads that need it first stop for ever, one waiting
for the other while it keeps Python's lock: two in five runs with two threads, four in five with sixteen."""


class OpenVinoEngine:
    """A compiled model and one request for each thread that calls; outputs lie in the request's own memory."""

    def __init__(self, compiled: Any, info: EngineInfo) -> None:
        self.info = info
        self._compiled = compiled
        self._own = threading.local()

    def __call__(self, images: Images) -> tuple[Tensor, Tensor]:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        batch = as_batch(images, self.info).cpu().numpy()
        results = self._own.request.infer([batch], share_inputs=True, share_outputs=True)
        return torch.from_numpy(results[0]), torch.from_numpy(results[1])

    def close(self) -> None:
        """Gives the compiled model back."""
        del self._own, self._compiled


class OpenVinoBackend:
    """Builds and loads OpenVINO engines on the CPU."""

    name = "openvino"

    def precisions(self, device: str) -> tuple[str, ...]:
        return ("fp32", "int8") if device == "cpu" else ()

    def obstacle(self, device: str, precision: str | None = None) -> Obstacle | None:
        if device != "cpu":
            return Obstacle("OpenVINO engines run on the CPU", "Give --device cpu, or another --backend.")
        if importlib.util.find_spec("openvino") is None:
            remedy = "Run `pip install openvino`."
            if platform.system() == "Darwin" and platform.machine() != "arm64":
                remedy = "There is no OpenVINO for this kind of machine: give another --backend."
            return Obstacle("OpenVINO is not installed", remedy)
        if precision not in (None, *self.precisions(device)):
            return Obstacle(f"OpenVINO engines have no {precision} on a CPU", "Give --precision fp32 or int8.")
        if precision == "int8" and importlib.util.find_spec("nncf") is None:
            return Obstacle("INT8 needs NNCF, which is not installed", "Run `pip install 'fastinst-rt[int8]'`.")
        return None

    def libraries(self) -> dict[str, str]:
        return {"openvino": importlib.metadata.version("openvino")}

    def build(
        self,
        net: nn.Module,
        key: EngineKey,
        folder: Path,
        pictures: Sequence[npt.NDArray[np.uint8]],
        progress: Progress,
    ) -> BuildFacts:
        import openvino

        progress("exporting the graph", 0.0)
        program = export(engine_graph(net, key.resized, key.padded), key.batch, key.resized)
        progress("converting to OpenVINO", 0.2)
        try:
            with quiet():
                model = openvino.convert_model(program)
            # The converter leaves the input's shape open; with it fixed, shape arithmetic folds away.
            model.reshape([key.batch, *key.resized, 3])
            if key.precision == "int8":
                progress(f"quantising on {len(pictures)} pictures", 0.3)
                model = quantised(model, pictures, key.batch)
            compiled = openvino.Core().compile_model(model, "CPU", engine_settings(RunOptions()))
            (folder / _COMPILED).write_bytes(compiled.export_model().getbuffer())
        except RuntimeError as error:  # what OpenVINO raises for all that goes wrong
            raise EngineError(
                f"OpenVINO could not build the engine ({_last_line(error)}).", "Give another --backend, such as eager."
            ) from error
        progress("inspecting", 0.9)
        inspection = _inspect(_import(folder, RunOptions()))
        return BuildFacts([_COMPILED], inspection["precision"], inspection)

    def load(self, folder: Path, key: EngineKey, options: RunOptions) -> OpenVinoEngine:
        compiled = _import(folder, options)
        concurrency = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        return OpenVinoEngine(compiled, replace(EngineInfo.of(key, "cpu", folder), concurrency=concurrency))


def engine_settings(options: RunOptions) -> dict[str, Any]:
    """What OpenVINO is told when it compiles or loads an engine."""
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": options.mode.upper(),
        # Said in words: the CPU plugin's own choice is BF16 where the CPU has it, and FP32 was asked for.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    if options.mode == "latency":
        settings["NUM_STREAMS"] = 1
    else:  # OpenVINO chooses how many calls share out the threads
        settings["PERFORMANCE_HINT_NUM_REQUESTS"] = _MOST_AT_ONCE
    if options.threads is not None:
        settings["INFERENCE_NUM_THREADS"] = options.threads
    return settings


def _import(folder: Path, options: RunOptions) -> Any:
    import openvino

    with _NUMPY_IS_FOUND:
        openvino.Type.u8.to_dtype()
    content = (folder / _COMPILED).read_bytes()
    try:
        return openvino.Core().import_model(content, "CPU", engine_settings(options))
    except RuntimeError as error:
        raise EngineError(
            f"OpenVINO cannot load the engine in {folder} ({_last_line(error)}).", "Build it anew."
        ) from error


def _inspect(compiled: Any) -> dict[str, Any]:
    """What is executed, read from the compiled model: heavy operators by precision, all operators by type."""
    heavy: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        info = {name: str(node.rt_info[name].value) for name in ("layerType", "runtimePrecision")}
        kinds[info["layerType"]] += 1
        if info["layerType"] in _HEAVY:
            heavy[_NAMES.get(info["runtimePrecision"], info["runtimePrecision"])] += 1
    return {"precision": _precision(heavy), "heavy_operators": dict(heavy), "operators": dict(kinds.most_common())}


def _precision(heavy: Counter[str]) -> str:
    """INT8 engines keep some operators in FP32 by design; in an FP32 engine nothing may be narrower."""
    if 2 * heavy["int8"] > heavy.total():
        return "int8"
    narrow = [name for name in heavy if name not in ("fp32", "int8")]
    return narrow[0] if narrow else "mixed" if heavy["int8"] else "fp32"


def _last_line(error: Exception) -> str:
    """The last line of OpenVINO's stack of messages is the one that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
