"""The TensorRT backend: Torch-TensorRT compiles the whole network into one plan, TensorRT's own runtime runs it.

TensorRT-RTX, NVIDIA's TensorRT for GeForce RTX cards, has the same API and counts as the same backend where
torch-tensorrt-rtx is what is installed.

| torch | torch-tensorrt | TensorRT | how the precision is set                                                  |
| ----- | -------------- | -------- | ------------------------------------------------------------------------- |
| 2.11  | 2.11           | 10.15    | explicit typing is on by default, `enabled_precisions` beside it fails    |
| 2.12  | 2.12           | 10.16    | the same                                                                  |
| 2.13  | 2.13           | 11.0     | always explicit; `enabled_precisions` is swallowed, the engine comes FP32 |

So FP16 comes from the program alone: `.half()` on a network whose modules keep their float32 islands (normalisation of
the picture, proposals), and it is read back from the plan after every build.
"""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fastinst_rt.backends.base import BuildFacts, Engine, EngineInfo, EngineKey, Obstacle, Progress, RunOptions
from fastinst_rt.backends.graph import EngineGraph, engine_graph, export
from fastinst_rt.backends.hardware import device_kind, gpu_index
from fastinst_rt.backends.tensorrt_build import OTHER_BACKEND, PLAN, PROGRAM, REQUEST
from fastinst_rt.backends.tensorrt_inspection import flavour, import_tensorrt
from fastinst_rt.errors import EngineError

RELEASES = ("2.11", "2.12", "2.13")
OLDEST_CAPABILITY = (7, 5)


@dataclass(frozen=True)
class TensorRTBackend:
    """Builds TensorRT plans in a process of their own, and runs them on the GPU."""

    name: str = "tensorrt"

    def precisions(self, device: str) -> tuple[str, ...]:
        """FP16 first; nothing on a CPU."""
        return ("fp16", "fp32") if device == "cuda" else ()

    def obstacle(self, device: str, precision: str | None = None) -> Obstacle | None:
        """Why TensorRT cannot build or run here, or None."""
        if device_kind(device) != "cuda" or not torch.cuda.is_available():
            return Obstacle(
                "TensorRT runs on an NVIDIA GPU, and PyTorch sees none.", "Use --backend openvino or eager."
            )
        if precision not in (None, *self.precisions("cuda")):
            return Obstacle(f"The tensorrt backend has no {precision}.", "Give --precision fp16 or fp32.")
        if (capability := torch.cuda.get_device_capability(device)) < OLDEST_CAPABILITY:
            shown = ".".join(map(str, capability))
            return Obstacle(f"TensorRT has left GPUs of compute capability {shown} behind.", "Use --backend inductor.")
        return _installation_obstacle()

    def libraries(self) -> dict[str, str]:
        """torch, the Torch-TensorRT that converts and the TensorRT that compiles; absent ones are left out."""
        found = {name: _version(name) for name in (_distribution(), flavour())}
        return {"torch": torch.__version__} | {name: version for name, version in found.items() if version}

    def build(
        self,
        net: nn.Module,
        key: EngineKey,
        folder: Path,
        pictures: Sequence[npt.NDArray[np.uint8]],  # noqa: ARG002  (FP16 needs no calibration)
        progress: Progress,
    ) -> BuildFacts:
        """Export, then compile in a process of its own; see `backends.base.Backend.build`."""
        progress("exporting the network", None)
        graph = _graph(net, key)
        program = export(graph, key.batch, key.resized)
        with tempfile.TemporaryDirectory(prefix="compiler-", dir=folder) as name:
            scratch = Path(name)
            torch.export.save(program, scratch / PROGRAM)
            request = {"precision": key.precision, "device_index": gpu_index(key.hardware)}
            (scratch / REQUEST).write_text(json.dumps(request))
            inspection = run_compiler([sys.executable, "-m", "fastinst_rt.backends.tensorrt_build"], scratch, progress)
            (scratch / PLAN).rename(folder / PLAN)
        found = str(inspection["precision"])
        if found != key.precision:
            raise EngineError(
                f"TensorRT was asked for {key.precision} and built {found} ({_evidence(inspection)}).",
                "Use --backend inductor, or another release of torch-tensorrt (2.11 to 2.13).",
            )
        return BuildFacts(files=[PLAN], precision_found=found, inspection=inspection)

    def load(self, folder: Path, key: EngineKey, options: RunOptions) -> Engine:
        """Load the plan onto the GPU; see `backends.base.Backend.load`."""
        from fastinst_rt.backends.tensorrt_runtime import TensorRTEngine

        device = options.device if ":" in options.device else "cuda:0"
        info = EngineInfo.of(key, device, folder)
        return TensorRTEngine((folder / PLAN).read_bytes(), info, import_tensorrt())


def _graph(net: nn.Module, key: EngineKey) -> EngineGraph:
    graph = engine_graph(net, key.resized, key.padded)
    return graph.half() if key.precision == "fp16" else graph


def _evidence(inspection: Mapping[str, Any]) -> str:
    shown = {
        "layers": f"numbers between its layers: {inspection.get('numbers')}",
        "weights": f"numbers of its weights: {inspection.get('weights')}",
        "size": f"{inspection.get('bytes_per_weight')} bytes a weight",
    }
    return shown[inspection["evidence"]]


def run_compiler(command: Sequence[str], scratch: Path, progress: Progress) -> dict[str, Any]:
    """Run the compiler on `scratch`, pass its steps on, and return what it found in the plan.

    Raises:
        EngineError: if it reports a problem, or dies; nothing that it does can end this process.
    """
    log = scratch / "compiler.log"
    step, inspection = "starting the compiler", None
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*command, str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=_environment(),
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                message = json.loads(line)
                if "problem" in message:
                    raise EngineError(message["problem"], message["remedy"])
                step = message.get("step", step)
                inspection = message.get("inspection")
                progress(step, None)
            code = process.wait()
        finally:
            process.kill()  # no-op where it has ended; otherwise we were interrupted
            process.communicate()
    if code != 0 or inspection is None:
        raise EngineError(f"The TensorRT compiler {_death(code)} while {step}{_last_words(log)}.", OTHER_BACKEND)
    found: dict[str, Any] = inspection
    return found


def _environment() -> dict[str, str]:
    """This process's, in which the compiler finds this package even if it is run from a checkout, not installed."""
    folders = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, folders))}


def _death(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    return (
        f"was killed ({signal.Signals(-code).name})"
        if -code == signal.SIGKILL
        else f"crashed ({signal.Signals(-code).name})"
    )


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"; its last words: {lines[-1][:300]}" if lines else ""


def _distribution() -> str:
    return "torch-tensorrt-rtx" if flavour() == "tensorrt_rtx" else "torch-tensorrt"


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _installation_obstacle() -> Obstacle | None:
    distribution = _distribution()
    version = _version(distribution)
    if version is None:
        return Obstacle("torch-tensorrt is not installed.", "Run `pip install 'fastinst-rt[tensorrt]'`.")
    release, torch_release = (".".join(v.split(".")[:2]) for v in (version, torch.__version__))
    if release not in RELEASES:
        return Obstacle(
            f"{distribution} {version} has not been tried with this program.",
            f"Run `pip install '{distribution}=={torch_release}.*'`.",
        )
    if release != torch_release:
        return Obstacle(
            f"{distribution} {version} does not go with torch {torch.__version__}.",
            f"Run `pip install '{distribution}=={torch_release}.*'`.",
        )
    if _version(flavour()) is None:
        return Obstacle(f"{distribution} is installed, {flavour()} is not.", f"Run `pip install {flavour()}`.")
    return None
