"""JSON lines, id maps and mattes say the same as the instances they were given."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fastinst_rt.categories import COCO
from fastinst_rt.errors import OutputError, UsageError
from fastinst_rt.results import Instances, MaskCrop
from fastinst_rt.rle import decode
from fastinst_rt.video.jsonl_sink import FORMAT, JsonlSink, is_incomplete
from fastinst_rt.video.mask_sink import MaskSink, id_map
from fastinst_rt.video.matte_sink import MatteSink
from fastinst_rt.video.sources import open_source

from .clips import content, make_clip

SIZE = (48, 64)


def two(track_ids: list[int] | None = None) -> Instances:
    """A square at the left and an overlapping bar below it; the square has the better score."""
    return Instances(
        size=SIZE,
        scores=np.array([0.9, 0.6], np.float32),
        class_ids=np.array([0, 2]),
        boxes=np.array([[4, 6, 24, 26], [0, 20, 64, 30]], np.float32),
        crops=(MaskCrop(4, 6, np.ones((20, 20), bool)), MaskCrop(0, 20, np.ones((10, 64), bool))),
        categories=COCO,
        track_ids=None if track_ids is None else np.array(track_ids),
    )


def test_lines_hold_exact_times_and_the_masks(tmp_path: Path) -> None:
    source = open_source("test:64x48@30000/1001,frames=3")
    sink = JsonlSink(tmp_path / "out.jsonl", source)
    for frame in source.frames():
        sink.write(frame, None, two() if frame.index != 1 else Instances.empty(SIZE, COCO))
        assert not (tmp_path / "out.jsonl").exists()
    sink.close()
    head, *lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert head == {
        "format": FORMAT,
        "source": "test:64x48@30000/1001,frames=3",
        "width": 64,
        "height": 48,
        "rate": "30000/1001",
        "time_base": "1001/30000",
    }
    assert [line["index"] for line in lines] == [line["pts"] for line in lines] == [0, 1, 2]
    assert lines[1]["instances"] == []
    assert lines[2]["seconds"] == pytest.approx(2 * 1001 / 30000, abs=1e-6)
    for record, mask in zip(lines[2]["instances"], two().masks, strict=True):
        assert np.array_equal(decode(record["segmentation"]), mask)
    assert [record["category_name"] for record in lines[0]["instances"]] == ["person", "car"]


def test_every_line_is_on_disk_when_it_is_written(tmp_path: Path) -> None:
    source = open_source("test:64x48,frames=5")
    sink = JsonlSink(tmp_path / "out.jsonl", source)
    for frame in source.frames():
        sink.write(frame, None, two())
        lines = (tmp_path / ".out.part.jsonl").read_text().splitlines()
        assert len(lines) == frame.index + 2
        json.loads(lines[-1])
    assert frame.index == 4
    sink.abort()
    sink.abort()
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert len(lines) == 7
    assert json.loads(lines[-1]) == {"incomplete": True}
    assert is_incomplete(tmp_path / "out.jsonl")


def test_a_complete_run_says_nothing_of_being_incomplete(tmp_path: Path) -> None:
    source = open_source("test:64x48,frames=2")
    sink = JsonlSink(tmp_path / "out.jsonl", source)
    for frame in source.frames():
        sink.write(frame, None, two())
    sink.close()
    sink.abort()
    assert not is_incomplete(tmp_path / "out.jsonl")
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3


def test_id_maps_follow_the_list_or_the_tracks(tmp_path: Path) -> None:
    source = open_source("test:64x48,frames=2")
    sink = MaskSink(tmp_path / "masks", source)
    for frame in source.frames():
        sink.write(frame, None, two() if frame.index == 0 else two([299, 4]))
    sink.close()
    assert sorted(p.name for p in (tmp_path / "masks").iterdir()) == ["000000.png", "000001.png"]
    by_place = cv2.imread(str(tmp_path / "masks" / "000000.png"), cv2.IMREAD_UNCHANGED)
    by_track = cv2.imread(str(tmp_path / "masks" / "000001.png"), cv2.IMREAD_UNCHANGED)
    assert by_place.dtype == by_track.dtype == np.uint16
    assert np.array_equal(by_place, two().label_map())
    assert (by_place[22, 10], by_place[22, 40], by_place[0, 0]) == (1, 2, 0)
    assert (by_track[22, 10], by_track[22, 40], by_track[0, 0]) == (300, 5, 0)
    assert np.array_equal(id_map(two([299, 4])), by_track)


def test_masks_need_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    source = open_source("test:64x48,frames=2")
    with pytest.raises(UsageError):
        MaskSink(tmp_path / "file", source)
    with pytest.raises(OutputError):
        MaskSink(tmp_path / "missing" / "masks", source)


@pytest.mark.parametrize("suffix", [".mov", ".webm"])
def test_a_matte_is_opaque_inside_the_masks_and_keeps_the_times(suffix: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", channels=1)
    source = open_source(clip)
    sink = MatteSink(tmp_path / f"out{suffix}", source)
    for frame in source.frames():
        sink.write(frame, None, two())
    sink.close()
    assert content(tmp_path / f"out{suffix}").times == content(clip).times
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        stream = container.streams.video[0]
        # FFmpeg's own VP9 decoder leaves the alpha out.
        decoder = av.CodecContext.create("libvpx-vp9", "r") if suffix == ".webm" else stream.codec_context
        frames = [f for p in container.demux(stream) for f in decoder.decode(p if p.size else None)]
    assert len(frames) == 12
    picture = frames[5].reformat(format="rgba").to_ndarray()
    inside = two().masks.any(0)
    assert picture[:, :, 3][inside].mean() > 245
    assert picture[:, :, 3][~inside].mean() < 10
    assert picture[10, 10, 0] > 150  # the source's red, not black


def test_a_matte_needs_a_container_with_alpha(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.mov or \.webm"):
        MatteSink(tmp_path / "out.mp4", open_source("test:64x48,frames=2"))
