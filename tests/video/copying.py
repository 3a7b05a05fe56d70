"""A source straight into a video sink, as the pipeline does it, without a network and without drawing."""

import sys
import time
from pathlib import Path
from typing import Any

from fastinst_rt.categories import COCO
from fastinst_rt.results import Instances
from fastinst_rt.video.sources import SourceOptions, open_source
from fastinst_rt.video.video_sink import VideoSink


def copy(source_path: Path | str, target: Path, options: SourceOptions | None = None, **sink_options: Any) -> VideoSink:
    """Runs the source to its end; what it raises comes out after the sink was aborted."""
    source = open_source(source_path, options)
    sink = VideoSink(target, source, **sink_options)
    nothing = Instances.empty((source.info.height, source.info.width), COCO)
    try:
        for frame in source.frames():
            sink.write(frame, frame.image, nothing)
    except BaseException:
        sink.abort()
        raise
    finally:
        source.close()
    sink.close()
    return sink


if __name__ == "__main__":  # a process that tests kill: copies frame by frame, slowly, and tells how far it is
    source = open_source(sys.argv[1])
    sink = VideoSink(Path(sys.argv[2]), source)
    for frame in source.frames():
        sink.write(frame, frame.image, Instances.empty((source.info.height, source.info.width), COCO))
        print(frame.index, flush=True)
        time.sleep(0.002)
