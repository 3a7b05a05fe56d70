"""A cut shows the very pictures that the whole shows at those times, wherever the demuxer lands."""

from pathlib import Path

import av
import numpy as np
import pytest

from fastinst_rt.errors import UsageError
from fastinst_rt.results import Frame
from fastinst_rt.video.seeking import seek_before
from fastinst_rt.video.sources import SourceOptions, open_source

from .clips import make_clip


def frames_of(path: Path, options: SourceOptions | None = None) -> list[Frame]:
    source = open_source(path, options)
    try:
        return list(source.frames())
    finally:
        source.close()


def keyed(path: Path, distance: int) -> Path:
    """200 pictures (8 seconds) with a keyframe every so many."""
    codec = "mpeg2video" if path.suffix == ".mpg" else "libx264"
    return make_clip(path, pts=tuple(range(200)), codec=codec, options={"g": str(distance), "sc_threshold": "0"})


@pytest.mark.parametrize("suffix", [".ts", ".mpg", ".mp4", ".mkv", ".flv"])
@pytest.mark.parametrize("start", [0.04, 0.96, 3.0, 5.5])
def test_a_cut_is_a_part_of_the_whole(start: float, suffix: str, tmp_path: Path) -> None:
    path = keyed(tmp_path / f"in{suffix}", 25 if start < 1 else 90)
    whole = frames_of(path)
    zero = whole[0].seconds
    wanted = [frame for frame in whole if start - 1e-6 <= frame.seconds - zero < start + 0.5 - 1e-6]
    found = frames_of(path, SourceOptions(start=start, end=start + 0.5))
    assert [frame.seconds for frame in found] == [frame.seconds for frame in wanted]
    for mine, theirs in zip(found, wanted, strict=True):
        assert np.array_equal(mine.image, theirs.image)


def test_the_nearest_steps_back_are_tried_first(tmp_path: Path) -> None:
    with av.open(str(keyed(tmp_path / "in.ts", 20))) as container:
        stream = container.streams.video[0]
        zero, second = stream.start_time, round(1 / stream.time_base)
        ahead = seek_before(container, stream, (), zero + 7 * second)
        assert [packet.is_keyframe for packet in ahead] == [True]
        assert zero + 4 * second < ahead[0].pts <= zero + 7 * second
        assert not next(container.demux(stream)).is_keyframe


def test_a_file_that_begins_between_keyframes_is_read_from_its_first_packet(tmp_path: Path) -> None:
    data = keyed(tmp_path / "in.ts", 150).read_bytes()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(data[len(data) // 4 // 188 * 188 :])
    with av.open(str(cut)) as container:
        stream = container.streams.video[0]
        first = next(container.demux(stream))
        assert not first.is_keyframe
        assert seek_before(container, stream, (), stream.start_time + round(1 / stream.time_base)) == []
        assert next(container.demux(stream)).dts == first.dts


@pytest.mark.parametrize("wrong", [{"end": float("inf")}, {"end": float("nan")}, {"start": float("-inf")}])
def test_times_without_end_are_refused(wrong: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no time in a video"):
        open_source(make_clip(tmp_path / "in.mp4"), SourceOptions(**wrong))
