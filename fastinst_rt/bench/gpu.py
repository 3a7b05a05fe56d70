"""What the NVIDIA driver says of the GPUs, through `nvidia-smi` (part of every driver, so no further dependency)."""

import shutil
import subprocess
from collections.abc import Iterable
from typing import Any

_FACTS = ("index", "name", "driver_version", "memory.total", "power.limit", "clocks.max.sm", "clocks.max.memory")
_CONDITION = (
    "index",
    "pstate",
    "clocks.sm",
    "clocks.mem",
    "power.draw",
    "temperature.gpu",
    "utilization.gpu",
    "memory.used",
    "clocks_event_reasons.active",
)
_REASONS = {  # bits of clocks_event_reasons.active, as NVML names them
    0x1: "idle",
    0x2: "application clocks",
    0x4: "software power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown",
    0x80: "hardware power brake",
    0x100: "display clocks",
}
HARMFUL = frozenset(_REASONS[bit] for bit in (0x4, 0x8, 0x20, 0x40, 0x80))
"""Reasons that mean the GPU was held back during a measurement."""


def describe() -> list[dict[str, Any]]:
    """Name, driver, memory (MiB), power limit (W) and highest clocks (MHz) of each GPU; empty without a driver."""
    return _query(_FACTS)


def condition() -> list[dict[str, Any]]:
    """Clocks (MHz), power (W), temperature (C) and throttle reasons of each GPU now; empty without a driver."""
    rows = _query(_CONDITION)
    for row in rows:
        row["throttle_reasons"] = throttle_reasons(row.pop("clocks_event_reasons.active"))
    return rows


def throttle_reasons(mask: Any) -> list[str]:
    """The names of the bits in a mask like "0x0000000000000004"; empty if it cannot be read."""
    try:
        bits = int(str(mask), 16)
    except ValueError:
        return []
    return [name for bit, name in _REASONS.items() if bits & bit]


def parse(text: str, fields: Iterable[str]) -> list[dict[str, Any]]:
    """Rows of `nvidia-smi --format=csv,noheader,nounits`; what the driver cannot tell is None."""
    names = tuple(fields)
    rows = []
    for line in text.strip().splitlines():
        values = [value.strip() for value in line.split(",")]
        if len(values) == len(names):
            rows.append({name: _value(value) for name, value in zip(names, values, strict=True)})
    return rows


def _value(text: str) -> Any:
    if text.startswith("[") or text == "N/A":
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if number.is_integer() else number


def _query(fields: tuple[str, ...]) -> list[dict[str, Any]]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return parse(answer.stdout, fields)
