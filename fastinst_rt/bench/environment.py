"""The machine a benchmark ran on, and what it was doing before and after.

Facts that do not change during a run are read once (`describe`); those that do are read twice (`condition`), and the
difference tells how much of the machine others used meanwhile. Whatever cannot be read is None, never guessed.
"""

import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from fastinst_rt.bench import gpu

_LIBRARIES = (
    "torch",
    "torch-tensorrt",
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu13",
    "openvino",
    "numpy",
    "opencv-python",
    "av",
)
_SIMD = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "asimd", "sve")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


@dataclass(frozen=True, slots=True)
class Condition:
    """The machine at one moment.

    Attributes:
        at: seconds since the epoch.
        load_average: tasks that run or wait, averaged over 1 minute.
        cpu_mhz: mean clock of the cores, MHz.
        memory_available: bytes.
        cpu_seconds: seconds all cores together have worked since boot, for anybody.
        stolen_seconds: seconds the hypervisor kept the cores from this machine.
        own_seconds: CPU seconds of this process and its finished children.
        gpus: clocks, power, temperature and throttle reasons of each GPU (see `gpu.condition`).
    """

    at: float
    load_average: float | None
    cpu_mhz: float | None
    memory_available: int | None
    cpu_seconds: float | None
    stolen_seconds: float | None
    own_seconds: float
    gpus: tuple[Mapping[str, Any], ...]


def describe() -> dict[str, Any]:
    """Facts of the machine and its software that stay the same during a run (JSON values)."""
    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cpu": _cpu_name(),
        "cpu_simd": _simd(),
        "cores": os.cpu_count(),
        "cores_usable": _usable_cores(),
        "cpu_governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory": _meminfo("MemTotal"),
        "thread_variables": {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
        "libraries": {name: version for name in _LIBRARIES if (version := _version(name))},
        **_torch_facts(),
        "gpus": [dict(facts) for facts in gpu.describe()],
    }


def condition() -> Condition:
    """The machine as it is now."""
    times = os.times()
    busy, stolen = _cpu_seconds()
    return Condition(
        at=time.time(),
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        cpu_mhz=_cpu_mhz(),
        memory_available=_meminfo("MemAvailable"),
        cpu_seconds=busy,
        stolen_seconds=stolen,
        own_seconds=times.user + times.system + times.children_user + times.children_system,
        gpus=tuple(gpu.condition()),
    )


def foreign_load(before: Condition, after: Condition) -> float | None:
    """Share of all cores' time that went to other processes and the hypervisor between two moments, 0..1."""
    if before.cpu_seconds is None or after.cpu_seconds is None:
        return None
    span = (after.at - before.at) * (os.cpu_count() or 1)
    stolen = (after.stolen_seconds or 0.0) - (before.stolen_seconds or 0.0)
    others = after.cpu_seconds - before.cpu_seconds - (after.own_seconds - before.own_seconds)
    return min(1.0, max(0.0, others + stolen) / span) if span > 0 else 0.0


def _torch_facts() -> dict[str, Any]:
    import torch

    return {
        "torch_threads": torch.get_num_threads(),
        "torch_interop_threads": torch.get_num_interop_threads(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,  # type: ignore[no-untyped-call]
        "tf32": torch.backends.cuda.matmul.allow_tf32,
    }


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _cpuinfo(key: str) -> list[str]:
    lines = (_read("/proc/cpuinfo") or "").splitlines()
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key]


def _cpu_name() -> str:
    names = _cpuinfo("model name")
    return names[0] if names else platform.processor() or "unknown"


def _simd() -> list[str]:
    flags = _cpuinfo("flags") or _cpuinfo("Features")
    present = set(flags[0].split()) if flags else set()
    return [name for name in _SIMD if name in present]


def _cpu_mhz() -> float | None:
    clocks = [float(value) for value in _cpuinfo("cpu MHz")]
    return round(sum(clocks) / len(clocks), 1) if clocks else None


def _usable_cores() -> int | None:
    """Cores this process may run on, after affinity and the container's quota."""
    allowed = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    quota = (_read("/sys/fs/cgroup/cpu.max") or "max").split()
    if quota[0] != "max" and len(quota) == 2 and allowed:
        return min(allowed, max(1, int(quota[0]) // int(quota[1])))
    return allowed


def _meminfo(key: str) -> int | None:
    for line in (_read("/proc/meminfo") or "").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return None


def _cpu_seconds() -> tuple[float | None, float | None]:
    """Seconds since boot that all cores worked, and that the hypervisor took."""
    first = (_read("/proc/stat") or "").splitlines()[:1]
    if not first or not first[0].startswith("cpu "):
        return None, None
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(v) for v in first[0].split()[1:9])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, steal / tick
