"""Outputs that go wrong: the right error, and nothing that was written is lost."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fastinst_rt.categories import COCO
from fastinst_rt.errors import OutputError, SourceLostError, UsageError
from fastinst_rt.results import Instances
from fastinst_rt.video.jsonl_sink import JsonlSink
from fastinst_rt.video.mask_sink import MaskSink
from fastinst_rt.video.sources import open_source
from fastinst_rt.video.video_sink import VideoSink

from .clips import content, make_clip
from .copying import copy

MOUNT = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run([*MOUNT, str(folder)], capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def noise(count: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.integers(0, 255, (120, 160, 3), np.uint8)


def playable_frames(part: Path) -> int:
    """How many frames a player shows of a file whose last fragment may be torn."""
    source = open_source(part)
    count = 0
    with contextlib.suppress(SourceLostError):
        for _ in source.frames():
            count += 1
    source.close()
    return count


def test_unicode_and_spaces(tmp_path: Path) -> None:
    folder = tmp_path / "ein Ordner – 動画 %d:#"
    folder.mkdir()
    source = make_clip(tmp_path / "plain.mp4", channels=1).rename(folder / "Straße 日本 (1).mp4")
    copy(source, folder / "aus gabe: ü.mp4")
    assert len(content(folder / "aus gabe: ü.mp4").times) == 12


def test_the_output_may_not_be_the_input(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4")
    before = path.read_bytes()
    (tmp_path / "link.mp4").symlink_to(path)
    for name in ("in.mp4", "link.mp4"):
        source = open_source(path)
        for sink in (VideoSink, JsonlSink):
            with pytest.raises(UsageError, match="both input and output"):
                sink(tmp_path / name, source)
        source.close()
    assert path.read_bytes() == before


def test_a_suffix_that_is_no_container(tmp_path: Path) -> None:
    source = open_source(make_clip(tmp_path / "in.mp4"))
    with pytest.raises(UsageError, match="no suffix of a video"):
        VideoSink(tmp_path / "out.txt", source)


def test_a_codec_that_does_not_exist(tmp_path: Path) -> None:
    source = open_source(make_clip(tmp_path / "in.mp4"))
    with pytest.raises(UsageError, match="no video encoder h2655"):
        VideoSink(tmp_path / "out.mp4", source, codec="h2655")
    with pytest.raises(UsageError):
        VideoSink(tmp_path / "out.mp4", source, codec="aac")


def test_a_codec_that_the_container_does_not_take(tmp_path: Path) -> None:
    source = open_source(make_clip(tmp_path / "in.mp4"))
    with pytest.raises(UsageError, match="webm"):
        VideoSink(tmp_path / "out.webm", source, codec="h264")


def test_an_encoder_that_cannot_take_the_size(tmp_path: Path) -> None:
    source = open_source("test:64x48,frames=3")
    with pytest.raises(OutputError, match="cannot take 64x48") as caught:
        VideoSink(tmp_path / "out.mkv", source, codec="h261")
    assert caught.value.exit_code == 6
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["missing/out", "file/out", "/proc/out"])
def test_a_folder_that_cannot_be_written_to(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file, not a folder")
    source = open_source("test:64x48,frames=3")
    for suffix, sink in ((".mp4", VideoSink), (".jsonl", JsonlSink), ("/masks", MaskSink)):
        with pytest.raises(OutputError) as caught:
            sink(tmp_path / (where + suffix), source)
        assert caught.value.exit_code == 6


def test_a_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    if subprocess.run(["chattr", "+i", str(folder)], capture_output=True).returncode:
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere, and chattr does not work here")
        folder.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot be written to"):
            VideoSink(folder / "out.mp4", open_source("test:64x48,frames=3"))
    finally:
        subprocess.run(["chattr", "-i", str(folder)], capture_output=True)
        folder.chmod(0o700)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_keeps_a_playable_part(suffix: str, small_disk: Path) -> None:
    source = open_source("test:160x120@25,frames=400")
    sink = VideoSink(small_disk / f"out{suffix}", source)
    with pytest.raises(OutputError, match=r"No space left on device; what was written is in .*\.part") as caught:  # noqa: PT012
        for frame, image in zip(source.frames(), noise(400), strict=True):
            sink.write(frame, image, None)
        sink.close()
    sink.abort()
    assert caught.value.exit_code == 6
    part = small_disk / f".out.part{suffix}"
    assert [p.name for p in small_disk.iterdir()] == [part.name]
    assert playable_frames(part) >= 5


def test_a_disk_too_full_for_the_second_copy_keeps_the_part(small_disk: Path) -> None:
    source = open_source("test:160x120@25,frames=6")
    sink = VideoSink(small_disk / "out.mp4", source, crf=4)  # 134 kB
    for frame, image in zip(source.frames(), noise(6), strict=True):
        sink.write(frame, image, None)
    with pytest.raises(OutputError, match="No space left"):
        sink.close()
    assert [p.name for p in small_disk.iterdir()] == [".out.part.mp4"]
    assert len(content(small_disk / ".out.part.mp4").times) == 6


def test_a_full_disk_keeps_whole_lines(small_disk: Path) -> None:
    source = open_source("test:64x48,frames=100000")
    sink = JsonlSink(small_disk / "out.jsonl", source)
    with pytest.raises(OutputError, match="No space left") as caught:  # noqa: PT012
        for frame in source.frames():
            sink.write(frame, None, Instances.empty((48, 64), COCO))
    assert caught.value.exit_code == 6
    sink.abort()
    assert [p.name for p in small_disk.iterdir()] == [".out.part.jsonl"]
    lines = (small_disk / ".out.part.jsonl").read_text().splitlines()
    assert [json.loads(line)["index"] for line in lines[1:]] == list(range(len(lines) - 1))
    assert len(lines) > 100


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_killed_run_leaves_a_playable_part(suffix: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", pts=tuple(range(400)), channels=2)
    command = [sys.executable, "-m", "tests.video.copying", str(clip), str(tmp_path / f"out{suffix}")]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 250:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / f"out{suffix}").exists()
    found = content(tmp_path / f".out.part{suffix}")
    expected = content(clip)
    assert len(found.times) > 150
    assert found.times == expected.times[: len(found.times)]
    sound = found.packets["audio"][0]
    assert len(sound) > 100
    assert sound == expected.packets["audio"][0][: len(sound)]


def test_a_failed_output_does_not_touch_an_older_one(small_disk: Path) -> None:
    (small_disk / "out.mp4").write_bytes(b"yesterday's")
    source = open_source("test:160x120@25,frames=400")
    sink = VideoSink(small_disk / "out.mp4", source)
    with pytest.raises(OutputError):  # noqa: PT012
        for frame, image in zip(source.frames(), noise(400), strict=True):
            sink.write(frame, image, None)
        sink.close()
    sink.abort()
    assert (small_disk / "out.mp4").read_bytes() == b"yesterday's"
