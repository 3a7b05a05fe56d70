"""Whether the stages run at the same time: a 720p file through a network that sleeps 20 ms into an H.264 file.

Encoding alone and decoding alone are timed first: they bound what the pipeline can reach on this machine.

python benchmarks/overlap.py [--frames 600]
"""

import argparse
import tempfile
import time
from collections import deque
from pathlib import Path

from stand_ins import SleepingNetwork

from fastinst_rt.video.jobs import Settings, run_job
from fastinst_rt.video.outputs import Job, Outputs
from fastinst_rt.video.sources import open_source
from fastinst_rt.video.summary import Summary


def main() -> None:
    """Prints the three rates and how far the stages overlapped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=600)
    frames = parser.parse_args().frames
    with tempfile.TemporaryDirectory() as folder:
        clip, out = Path(folder, "clip.mp4"), Path(folder, "out.mp4")
        bare = run(f"test:1280x720@30,frames={frames}", clip, SleepingNetwork(0.0, count=0))
        print(f"encoding alone      {1 / bare.stages['encode'].mean:6.1f} FPS")
        print(f"decoding alone      {frames / decode(clip):6.1f} FPS")
        summary = run(str(clip), out, SleepingNetwork(0.02))
        total = sum(stage.total for stage in summary.stages.values())
        print(f"the pipeline        {summary.fps:6.1f} FPS  (the network alone could do 50)")
        print(f"sum of stages {total:.1f} s, wall {summary.wall_seconds:.1f} s: {summary.overlap:.2f}-fold overlap")
        assert summary.frames_out == frames


def run(source: str, target: Path, network: SleepingNetwork) -> Summary:
    """One source to one annotated video."""
    return run_job(Job(source, Outputs(video=target)), network, Settings())


def decode(clip: Path) -> float:
    """Seconds to decode a whole clip."""
    source = open_source(clip)
    start = time.perf_counter()
    deque(source.frames(), maxlen=0)
    source.close()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
