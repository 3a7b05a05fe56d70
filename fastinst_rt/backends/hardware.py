"""What this machine is, as far as an engine is bound to it."""

import functools
import hashlib
import platform
from pathlib import Path

import torch

from fastinst_rt.errors import UsageError


def resolve_device(device: str) -> str:
    """ "auto" becomes "cuda:0" where there is a GPU and "cpu" elsewhere; "cuda" becomes "cuda:0".

    Raises:
        UsageError: for a device that does not exist here.
    """
    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return device
    kind, _, index = device.partition(":")
    if kind != "cuda" or (index and not index.isdigit()):
        raise UsageError(f"There is no device {device!r}.", "Give auto, cpu, cuda or cuda:N.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index or 0) >= count:
        raise UsageError(f"PyTorch sees {count} CUDA devices, so {device!r} cannot be used.", "Give --device cpu.")
    return f"cuda:{index or 0}"


def device_kind(device: str) -> str:
    """ "cpu" or "cuda"."""
    return device.partition(":")[0]


def hardware_name(device: str) -> str:
    """What compiled code is bound to: name and compute capability of the GPU, instruction set of the CPU.

    Two GPUs of one compute capability still differ here: TensorRT tunes its plans for the chip it sees.
    """
    if device_kind(device) == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"{torch.cuda.get_device_name(device)}, compute capability {major}.{minor}"
    return _cpu_name()


def gpu_index(name: str) -> int:
    """Index of the first visible GPU of that `hardware_name`; 0 where there is none."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return next((index for index in range(count) if hardware_name(f"cuda:{index}") == name), 0)


@functools.cache
def _cpu_name() -> str:
    """ "x86_64 AVX512 1a2b3c4d": the digest is over every flag of the CPU, since a compiler may use any of them."""
    flags = hashlib.sha256(" ".join(sorted(_cpu_flags())).encode()).hexdigest()[:8]
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} {flags}"


def _cpu_flags() -> list[str]:
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return [platform.processor()]
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
    found = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return next(found, platform.processor()).split()
