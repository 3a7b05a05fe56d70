"""Whether memory or threads grow: 5,000 frames of 720p through decoder, pipeline, overlay, encoder, JSON and web page.

python benchmarks/soak.py [--frames 5000]
"""

import argparse
import tempfile
import threading
from pathlib import Path

from stand_ins import SleepingNetwork

from fastinst_rt.video.jobs import Settings, open_sinks
from fastinst_rt.video.mjpeg import MjpegSink
from fastinst_rt.video.outputs import Outputs
from fastinst_rt.video.pipeline import Pipeline
from fastinst_rt.video.sources import open_source
from fastinst_rt.video.summary import Snapshot

SETTLED = 500
"""Frames after which every cache and pool has reached its size."""

LIMIT = 0.03


def main() -> None:
    """Prints resident memory along the way; fails if it grew by 3 % or a thread is left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=5000)
    frames = parser.parse_args().frames
    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder, "clip.mp4"), frames)
        threads = threading.active_count()
        source = open_source(clip)
        network = SleepingNetwork(0.0)
        network.prepare((720, 1280))
        sinks = list(open_sinks(Outputs(Path(folder, "out.mp4"), Path(folder, "out.jsonl")), source, Settings()))
        pipeline = Pipeline(source, network, [*sinks, MjpegSink("127.0.0.1", 0)])
        readings: list[tuple[int, float]] = []
        summary = pipeline.run(on_progress=lambda state: note(state, readings))
        left = threading.active_count() - threads
    assert summary.frames_out == frames
    settled = [mib for frame, mib in readings if frame >= SETTLED]
    for part in range(0, len(settled), max(1, len(settled) // 10)):
        print(f"after {[f for f, _ in readings if f >= SETTLED][part]:5d} frames  {settled[part]:7.1f} MiB")
    growth = max(settled[len(settled) // 2 :]) / settled[0] - 1
    print(f"growth after frame {SETTLED}: {100 * growth:.2f} %  threads left: {left}  {summary.fps:.0f} FPS")
    assert growth < LIMIT
    assert left == 0


def make_clip(path: Path, frames: int) -> Path:
    """A 720p H.264 clip of the test pattern."""
    source = open_source(f"test:1280x720@30,frames={frames}")
    network = SleepingNetwork(0.0, count=0)
    network.prepare((720, 1280))
    Pipeline(source, network, list(open_sinks(Outputs(path), source, Settings(codec="h264", crf=30)))).run()
    return path


def note(state: Snapshot, readings: list[tuple[int, float]]) -> None:
    """One reading of the resident memory, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    readings.append((state.frames_out, pages * 4096 / 2**20))


if __name__ == "__main__":
    main()
