"""What this machine has and lacks: the findings that `fastinst-rt doctor` prints."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

import fastinst_rt
from fastinst_rt.backends.hardware import hardware_name
from fastinst_rt.backends.registry import BACKENDS, precisions
from fastinst_rt.backends.store import EngineStore

_LIBRARIES = ("torch", "openvino", "nncf", "torch-tensorrt", "tensorrt", "opencv-python", "av", "numpy")
_ROOM = 2_000_000_000
"""Bytes that a few engines and their builds need."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        good: whether it is as it should be.
        detail: what was found, or why not.
        remedy: what to do, one sentence; empty where nothing is to be done.
    """

    name: str
    good: bool
    detail: str
    remedy: str = ""


def diagnose(engine_dir: Path | None = None) -> dict[str, list[Finding]]:
    """Title of a section -> its findings."""
    return {
        "machine": list(_machine()),
        "libraries": list(_libraries()),
        "backends": list(_backends()),
        "files": list(_files(engine_dir)),
    }


def _machine() -> Iterator[Finding]:
    yield Finding("fastinst-rt", True, f"{fastinst_rt.__version__} in {Path(fastinst_rt.__file__).parent}")
    yield Finding("Python", True, f"{platform.python_version()} on {platform.platform()}")
    yield Finding(
        "CPU", True, f"{hardware_name('cpu')}, {os.cpu_count()} cores, PyTorch uses {torch.get_num_threads()}"
    )
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            memory = torch.cuda.get_device_properties(index).total_memory / 1e9
            yield Finding(f"GPU {index}", True, f"{hardware_name(f'cuda:{index}')}, {memory:.0f} GB")
    else:
        built = (
            "this PyTorch is built for the CPU" if torch.version.cuda is None else "PyTorch finds no driver or device"
        )
        yield Finding("GPU", False, f"none: {built}", _gpu_remedy())
    yield _display()


def _gpu_remedy() -> str:
    if shutil.which("nvidia-smi") is None:
        return "Nothing to do without an NVIDIA GPU; with one, install its driver."
    return "Install a CUDA build of PyTorch: `pip install torch --index-url https://download.pytorch.org/whl/cu128`."


def _display() -> Finding:
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return Finding("window", False, "no display", "Use `live --no-window` with --record or --serve.")
    return Finding("window", True, "a display is there")


def _libraries() -> Iterator[Finding]:
    optional = {
        "nncf": "For INT8 run `pip install 'fastinst-rt[int8]'`.",
        "torch-tensorrt": "For TensorRT on an NVIDIA GPU run `pip install 'fastinst-rt[tensorrt]'`.",
        "tensorrt": "It comes with `pip install 'fastinst-rt[tensorrt]'`.",
        "openvino": "Run `pip install openvino`.",
    }
    for name in _LIBRARIES:
        version = _version(name)
        yield Finding(name, version is not None, version or "not installed", "" if version else optional.get(name, ""))


def _version(name: str) -> str | None:
    """Version of a distribution, under the other names it goes by too."""
    for one in (name, f"{name}-rtx", f"{name}-cu13", f"{name}-cu12", f"{name}-headless"):
        try:
            version = importlib.metadata.version(one)
        except importlib.metadata.PackageNotFoundError:
            continue
        return version if one == name else f"{version} ({one})"
    return None


def _backends() -> Iterator[Finding]:
    """Each backend on each kind of device it is for."""
    for name in (*BACKENDS, "eager"):
        for kind in ("cuda", "cpu"):
            if not precisions(name, kind):
                continue
            if name == "eager":
                reason = "" if kind == "cpu" or torch.cuda.is_available() else "PyTorch sees no CUDA device"
                remedy = "Use --device cpu." if reason else ""
                yield Finding(f"eager on {kind}", not reason, reason or _words(name, kind), remedy)
                continue
            yield from _compiling(name, kind)


def _compiling(name: str, kind: str) -> Iterator[Finding]:
    backend = BACKENDS[name]
    if obstacle := backend.obstacle(kind):
        yield Finding(f"{name} on {kind}", False, obstacle.reason.rstrip("."), obstacle.remedy)
        return
    able = [one for one in backend.precisions(kind) if backend.obstacle(kind, one) is None]
    yield Finding(f"{name} on {kind}", True, ", ".join(able))
    for one in backend.precisions(kind):
        if obstacle := backend.obstacle(kind, one):
            yield Finding(f"{name} {one} on {kind}", False, obstacle.reason.rstrip("."), obstacle.remedy)


def _words(name: str, kind: str) -> str:
    return ", ".join(precisions(name, kind))


def _files(engine_dir: Path | None) -> Iterator[Finding]:
    store = EngineStore(engine_dir)
    existing = next(folder for folder in (store.folder, *store.folder.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free
    detail = f"{store.folder}: {len(store.names())} engines, {free / 1e9:.0f} GB free"
    if not os.access(existing, os.W_OK):
        yield Finding("engines", False, f"{store.folder} cannot be written", "Choose another folder with --engine-dir.")
    elif free < _ROOM:
        yield Finding("engines", False, detail, "Free some space, or run `fastinst-rt engines prune`.")
    else:
        yield Finding("engines", True, detail)
    yield _weights()


def _weights() -> Finding:
    from fastinst_rt.models.zoo import get_spec, list_models
    from fastinst_rt.weights.locate import bundled_weights, cached_weights

    here = [name for name in list_models() if bundled_weights(name) or cached_weights(get_spec(name))]
    if here:
        return Finding("weights", True, f"here: {', '.join(here)}")
    return Finding("weights", False, "none", "Run `fastinst-rt weights pull fastinst-d1-r50`.")
