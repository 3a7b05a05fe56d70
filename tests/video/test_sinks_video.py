"""The annotated video against its source: nothing lost, nothing moved."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fastinst_rt.categories import COCO
from fastinst_rt.results import Instances
from fastinst_rt.video.sources import SourceOptions, open_source
from fastinst_rt.video.video_sink import VideoSink

from .clips import content, index_of, make_clip


def copy(source_path: Path | str, target: Path, options: SourceOptions | None = None, **sink_options) -> VideoSink:
    """Runs a source into a video sink, as the pipeline does, without drawing anything."""
    source = open_source(source_path, options)
    sink = VideoSink(target, source, **sink_options)
    nothing = Instances.empty((source.info.height, source.info.width), COCO)
    for frame in source.frames():
        sink.write(frame, frame.image, nothing)
    sink.close()
    source.close()
    return sink


VARIABLE = (0, 40, 90, 100, 260, 261, 300, 1000, 1033, 1066, 1100, 1500)

CASES = {
    "25 fps": {},
    "30000/1001": {"time_base": Fraction(1001, 30000)},
    "variable rate": {"pts": VARIABLE, "time_base": Fraction(1, 1000)},
    "late start": {"pts": tuple(range(130, 142))},
    "late start with sound": {"pts": tuple(range(130, 142)), "channels": 2},
    "late start, 30000/1001, sound": {"pts": tuple(range(131, 143)), "time_base": Fraction(1001, 30000), "channels": 1},
    "rotated 90": {"rotation": 90},
    "rotated 180": {"rotation": 180},
    "rotated 270": {"rotation": 270},
    "mono": {"channels": 1},
    "stereo": {"channels": 2},
    "5.1": {"channels": 6},
    "sound longer": {"channels": 2, "audio_seconds": 2.0},
    "ac3": {"channels": 2, "audio_codec": "ac3"},
    "one frame": {"pts": (0,)},
    "one frame with sound": {"pts": (0,), "channels": 1, "audio_seconds": 0.5},
    "odd width": {"size": (63, 48), "pixel_format": "yuv444p"},
    "odd sides": {"size": (63, 47), "pixel_format": "yuv444p"},
    "10 bit": {"pixel_format": "yuv420p10le"},
    "4:4:4": {"pixel_format": "yuv444p"},
    "grey": {"pixel_format": "gray"},
}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("case", CASES)
def test_the_copy_has_every_frame_time_and_packet(case: str, suffix: str, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", **CASES[case])
    copy(source, tmp_path / f"out{suffix}")
    before, after = content(source), content(tmp_path / f"out{suffix}")
    rounding = Fraction(1, 1000) if suffix == ".mkv" else 0  # Matroska counts in milliseconds
    assert len(after.times) == len(before.times)
    assert all(abs(a - b) <= rounding for a, b in zip(after.times, before.times, strict=True))
    assert after.packets["audio"] == before.packets["audio"]
    for mine, theirs in zip(after.packet_times["audio"], before.packet_times["audio"], strict=True):
        assert all(abs(a - b) <= rounding for a, b in zip(mine, theirs, strict=True))
    assert [index_of(image) for image in after.images] == [index_of(image) for image in before.images]
    assert after.images[0].shape == before.images[0].shape
    assert np.abs(after.images[0].astype(int) - before.images[0]).mean() < 6
    if suffix != ".mkv":
        frame = (before.times[-1] - before.times[0]) / max(1, len(before.times) - 1) or Fraction(1, 25)
        assert abs(after.duration - before.duration) <= frame
