"""The inductor backend: PyTorch's ahead-of-time compiler, for GPUs without TensorRT, and for any CPU.

The artefact is an AOTInductor package: a zip with a compiled shared library, its weights, and its source. Loading one
runs native code, so it happens only behind a manifest whose seal and hashes were checked; nothing in it is unpickled.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
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
from fastinst_rt.backends.graph import engine_graph, export
from fastinst_rt.backends.hardware import device_kind, gpu_index
from fastinst_rt.errors import EngineError

_PACKAGE = "model.pt2"
_WARM_UPS = 3
"""Calls before a CUDA graph is captured: the first ones choose kernels and allocate."""

_CONSTANT = re.compile(
    r"constants_info_\[\d+\]\.dtype = \D*cached_torch_dtype_(\w+?)\)?;\s(?:.*\s){2}?.*data_size = (\d+)"
)
_NAMES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}

Runner = Callable[[Tensor], Any]


class InductorEngine:
    """A loaded package; on a GPU its launches are recorded once as a CUDA graph and replayed.

    On a CPU, torch's binding (2.13) keeps Python's lock for the whole call, by each of its four ways in: a thread that
    only ticks stood still for 44 ms a call, beside OpenVINO and eager for 4. So decoding and drawing wait for it.
    """

    def __init__(self, runner: Runner, info: EngineInfo) -> None:
        self.info = info
        self._runner: Runner | None = runner
        self._replay = _captured(runner, info) if info.device.startswith("cuda") else None

    def __call__(self, images: Images) -> tuple[Tensor, Tensor]:
        batch = as_batch(images, self.info)
        if self._replay is not None:
            return self._replay(batch)
        assert self._runner is not None, "the engine is closed"
        with torch.inference_mode():
            logits, masks = self._runner(batch.to(self.info.device))
        return logits, masks

    def close(self) -> None:
        """Drops the package and the graph."""
        self._runner = self._replay = None


def _captured(runner: Runner, info: EngineInfo) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Record one run as a CUDA graph over buffers of its own."""
    static = torch.zeros((info.batch, *info.resized, 3), dtype=torch.uint8, device=info.device)
    stream = torch.cuda.Stream(info.device)  # type: ignore[no-untyped-call]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(info.device), torch.inference_mode():
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                runner(static)
        stream.synchronize()
        with torch.cuda.graph(graph, stream=stream):
            logits, masks = runner(static)

    def replay(batch: Tensor) -> tuple[Tensor, Tensor]:
        static.copy_(batch, non_blocking=True)
        graph.replay()
        return logits, masks

    return replay


class InductorBackend:
    """Builds and loads AOTInductor packages."""

    name = "inductor"

    def precisions(self, device: str) -> tuple[str, ...]:
        return ("fp16", "fp32") if device == "cuda" else ("fp32",)

    def obstacle(self, device: str, precision: str | None = None) -> Obstacle | None:
        kind = device_kind(device)
        if kind == "cuda" and not torch.cuda.is_available():
            return Obstacle("PyTorch sees no CUDA device", "Give --device cpu.")
        if precision not in (None, *self.precisions(kind)):
            return Obstacle(f"inductor engines have no {precision} on {kind}", "Give --precision fp32.")
        compiler = _compiler()
        if shutil.which(compiler) is None:
            remedy = "Install one (Debian, Ubuntu: `apt install g++`), or set $CXX."
            return Obstacle(f"inductor needs a C++ compiler, and there is no {compiler}", remedy)
        if kind == "cuda" and importlib.util.find_spec("triton") is None:
            return Obstacle("inductor needs Triton on a GPU, which is not installed", "Run `pip install triton`.")
        if kind == "cuda" and not _finds_cuda_toolkit():
            remedy = "Install the CUDA toolkit, or set $CUDA_HOME to where it is."
            return Obstacle("inductor needs the CUDA toolkit on a GPU, and finds none", remedy)
        return None

    def libraries(self) -> dict[str, str]:
        return {"torch": torch.__version__}

    def build(
        self,
        net: nn.Module,
        key: EngineKey,
        folder: Path,
        pictures: Sequence[npt.NDArray[np.uint8]],  # noqa: ARG002  (nothing here is calibrated)
        progress: Progress,
    ) -> BuildFacts:
        graph = engine_graph(net, key.resized, key.padded)
        with _gpu_of(key):
            progress("exporting the graph", 0.0)
            # the network's own float32 islands (normalisation, proposals) stay float32 through .half()
            program = export(graph.half() if key.precision == "fp16" else graph, key.batch, key.resized, key.device)
            progress("compiling with AOTInductor, which takes minutes", 0.1)
            _compile(program, folder)
        inspection = _inspect(folder / _PACKAGE)
        return BuildFacts([_PACKAGE], inspection["precision"], inspection)

    def load(self, folder: Path, key: EngineKey, options: RunOptions) -> InductorEngine:
        from torch._inductor import aoti_load_package

        index = int(options.device.partition(":")[2] or 0) if key.device == "cuda" else -1
        try:
            # single-threaded: no synchronisation inside, which a CUDA graph could not record
            runner = aoti_load_package(str(folder / _PACKAGE), run_single_threaded=True, device_index=index)
        except RuntimeError as error:
            raise EngineError(f"inductor cannot load {folder} ({_first_line(error)}).", "Build it anew.") from error
        return InductorEngine(runner, EngineInfo.of(key, options.device, folder))


_SETTINGS: dict[str, Any] = {
    "compile_threads": 1,  # its pool of worker processes would outlive the build
    "fx_graph_cache": False,
}


def _compile(program: torch.export.ExportedProgram, folder: Path) -> None:
    """Write the package into `folder`."""
    from torch._inductor import aoti_compile_and_package
    from torch._inductor.utils import fresh_cache

    try:
        with fresh_cache(dir=str(folder)):  # its shared cache in the temporary folder would be unpickled
            aoti_compile_and_package(program, package_path=str(folder / _PACKAGE), inductor_configs=_SETTINGS)
    except Exception as error:  # compiler errors come as many types, from torch, from subprocess, from the OS
        if isinstance(error, OSError | torch.OutOfMemoryError):  # a full disk or GPU is no fault of the compiler
            raise
        raise EngineError(
            f"inductor could not compile the network ({type(error).__name__}: {_first_line(error)}).",
            "Check the C++ compiler with `fastinst-rt doctor`, or give another --backend.",
        ) from error


def _finds_cuda_toolkit() -> bool:
    """Asked as AOTInductor will ask: it looks at $CUDA_HOME, $CUDA_PATH, the path of nvcc and /usr/local/cuda."""
    from torch.utils.cpp_extension import include_paths

    try:
        include_paths("cuda")
    except OSError:
        return False
    return True


def _gpu_of(key: EngineKey) -> AbstractContextManager[object]:
    """Makes the GPU that the key names the current one: the kernels are chosen and tuned for that."""
    if key.device == "cpu":
        return contextlib.nullcontext()
    return torch.cuda.device(gpu_index(key.hardware))


def _compiler() -> str:
    return os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")


def _inspect(package: Path) -> dict[str, Any]:
    """Bytes of constants by type, read from the source that lies in the package beside the library made of it."""
    bytes_of: Counter[str] = Counter()
    with zipfile.ZipFile(package) as archive:
        for name in archive.namelist():
            if name.endswith(".cpp"):
                for dtype, size in _CONSTANT.findall(archive.read(name).decode()):
                    bytes_of[_NAMES.get(dtype, dtype)] += int(size)
    floats = {name: bytes_of[name] for name in _NAMES.values() if bytes_of[name]}
    precision = max(floats, key=lambda name: floats[name]) if floats else "unknown"
    return {"precision": precision, "constant_bytes": dict(bytes_of), "package_bytes": package.stat().st_size}


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
