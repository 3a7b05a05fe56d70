"""How old frames are when they are shown: `test:` at 30 FPS with a network that sleeps 50 ms, policy `freshest`.

The age must not grow: it is printed for every tenth of the run. Then the same with policy `every`, which loses nothing.

python benchmarks/live_age.py [--seconds 180]
"""

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from stand_ins import SleepingNetwork

from fastinst_rt.results import Frame, Instances
from fastinst_rt.video.pipeline import Pipeline
from fastinst_rt.video.plan import Plan
from fastinst_rt.video.queues import Policy
from fastinst_rt.video.sources import SourceOptions, open_source
from fastinst_rt.video.summary import Summary


class AgeSink:
    """Notes how old each annotated frame is."""

    needs_overlay = True
    path: Path | None = None

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.ages: list[float] = []

    def write(self, frame: Frame, annotated: npt.NDArray[np.uint8] | None, instances: Instances) -> None:  # noqa: ARG002
        """See `Sink.write`."""
        self.ages.append(time.monotonic() - frame.captured_at)

    def close(self) -> None:
        """Nothing to close."""

    def abort(self) -> None:
        """Nothing to close."""


def main() -> None:
    """Prints ages and drops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    seconds = parser.parse_args().seconds
    summary, ages = run(Plan(policy=Policy.FRESHEST, seconds=seconds))
    tenths = [f"{1e3 * np.percentile(part, 95):.0f}" for part in np.array_split(ages, 10)]
    print(f"freshest: {summary.frames_in} in, {summary.frames_out} out, drops {summary.drops}, {summary.fps:.1f} FPS")
    print(f"  age p50 {1e3 * np.percentile(ages, 50):.0f} ms, p95 {1e3 * np.percentile(ages, 95):.0f} ms")
    print(f"  p95 of each tenth of the run: {' '.join(tenths)} ms")
    summary, _ = run(Plan(policy=Policy.EVERY, seconds=min(10.0, seconds)))
    print(f"every: {summary.frames_in} in, {summary.frames_out} out, drops {summary.drops}")
    assert summary.frames_in == summary.frames_out


def run(plan: Plan) -> tuple[Summary, list[float]]:
    """One run and the ages of its frames, seconds."""
    source = open_source("test:1280x720@30", SourceOptions(live=True))
    network, sink = SleepingNetwork(0.05), AgeSink()
    network.prepare((720, 1280))
    return Pipeline(source, network, [sink], plan).run(), sink.ages


if __name__ == "__main__":
    main()
