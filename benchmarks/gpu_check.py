"""Everything that only a GPU can show, in one command of less than eight minutes.

    python -m benchmarks.gpu_check [--minutes 8] [--out FILE]

Builds and proves the engines that can be built here, reads their precision back, measures every backend interleaved,
compares and times the mask path on the GPU, and writes `benchmarks/results/<gpu>-<date>.json`. A part that fails is
recorded with its error, and the rest goes on; a build for which no time is left is recorded as left out.
"""

import argparse
import datetime
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_engines import best_engine, build_engines, check_case, check_frames, free_memory, prove_risky_builds
from benchmarks.gpu_masks import check_masks
from benchmarks.gpu_run import Check, Plan
from fastinst_rt.backends.hardware import device_kind, hardware_name
from fastinst_rt.backends.registry import BACKENDS
from fastinst_rt.bench.environment import condition, describe

FORMAT = "fastinst-rt.gpu-check/1"


def run(
    plan: Plan,
    folder: Path,
    say: Callable[[str], None] = print,
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Check everything in `plan`.

    Args:
        folder: for the engines.
        say: told what is going on.
        keep: given the report as it stands after each part.

    Returns:
        The report, JSON values.
    """
    before = asdict(condition())
    check = Check(plan, folder, say)
    check.keep = lambda: keep(report_of(check, before))
    with check.part("backends") as found:
        found |= installed(plan.device)
    with check.part("masks on the device") as found:
        check_masks(plan, found)
    with check.part("builds") as found:
        build_engines(check, found)
    for case in plan.cases:
        with check.part(case.name) as found:
            check_case(check, case, found)
        free_memory(plan.device)
    with check.part("frame to instances") as found:
        check_frames(check, found)
    with check.part("risky builds") as found:
        prove_risky_builds(check, found)
    return report_of(check, before)


def report_of(check: Check, before: dict[str, Any]) -> dict[str, Any]:
    """The report as it stands."""
    return {
        "format": FORMAT,
        "hardware": hardware_name(check.plan.device),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "minutes": round((time.monotonic() - check.begin) / 60, 2),
        "environment": describe(),
        "before": before,
        "after": asdict(condition()),
        "weights": {model: origin for model, (_, origin) in check.networks.items()},
        "goals": goals(check),
        "parts": check.parts,
    }


def installed(device: str) -> dict[str, Any]:
    """Of each backend: its versions, or why it cannot run here."""
    found: dict[str, Any] = {}
    for name, backend in BACKENDS.items():
        obstacle = backend.obstacle(device_kind(device))
        found[name] = asdict(obstacle) if obstacle else {"libraries": backend.libraries()}
    return found


def goals(check: Check) -> dict[str, Any]:
    """What was aimed at on an H100, and what came out here."""
    found = {}
    for case in check.plan.cases:
        best = best_engine(check, case)
        if case.goal is None or best is None:
            continue
        value = check.parts[case.name]["latency"][best]
        found[case.name] = {
            "engine": best,
            "fps": value["fps"],
            "goal_fps": case.goal,
            "reached": value["fps"] >= case.goal,
            "x_eager_fp32": value["x_reference"],
        }
    return found


def default_path(hardware: str, folder: Path) -> Path:
    """`<gpu>-<date>.json`."""
    gpu = re.sub(r"[^a-z0-9]+", "-", hardware.split(",")[0].lower()).strip("-")
    return folder / f"{gpu}-{datetime.datetime.now(datetime.UTC).date().isoformat()}.json"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=8.0, help="no build begins that would end after these")
    parser.add_argument("--out", type=Path, help="default: benchmarks/results/<gpu>-<date>.json")
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        print("PyTorch sees no CUDA device. Run this on a machine with an NVIDIA GPU.", file=sys.stderr)
        return 2
    path = chosen.out or default_path(hardware_name("cuda:0"), Path(__file__).parent / "results")

    def keep(report: dict[str, Any]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=1, default=str) + "\n")

    with tempfile.TemporaryDirectory(prefix="gpu-check-") as folder:
        report = run(Plan(minutes=chosen.minutes), Path(folder), keep=keep)
    keep(report)
    print(json.dumps(report["goals"], indent=1), f"\nwritten to {path}")
    return int(any("failed" in part for part in report["parts"].values()))


if __name__ == "__main__":
    sys.exit(main())
