"""Files of all kinds come out whole, upright and in order, or are refused in a sentence."""

import gc
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from fastinst_rt.errors import FastInstError, SourceLostError, SourceOpenError, UsageError
from fastinst_rt.results import Frame
from fastinst_rt.video.inputs import expand_inputs
from fastinst_rt.video.sources import SourceOptions, open_source
from fastinst_rt.video.timeline import Timeline

from .clips import content, index_of, make_clip


def frames_of(path: Path | str, options: SourceOptions | None = None) -> list[Frame]:
    source = open_source(path, options)
    try:
        return list(source.frames())
    finally:
        source.close()


def refusal(path: Path | str, options: SourceOptions | None = None) -> FastInstError:
    with pytest.raises(FastInstError) as caught:
        frames_of(path, options)
    assert caught.value.problem.endswith(".")
    assert caught.value.remedy.endswith(".")
    return caught.value


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"time_base": Fraction(1001, 30000)},
        {"pts": (0, 40, 90, 100, 260, 261, 300), "time_base": Fraction(1, 1000)},
        {"pts": tuple(range(130, 142))},
        {"pts": (0,)},
        {"size": (63, 47), "pixel_format": "yuv444p"},
        {"pixel_format": "yuv420p10le"},
        {"pixel_format": "gray"},
        {"codec": "libvpx-vp9", "pixel_format": "yuva420p"},
        {"codec": "ffv1", "pixel_format": "bgra"},
        {"codec": "mjpeg", "pixel_format": "yuvj420p"},
        {"codec": "prores_ks", "pixel_format": "yuva444p10le"},
    ],
    ids=["25", "29.97", "variable", "late", "one", "odd", "10 bit", "grey", "vp9 alpha", "rgb alpha", "jpeg", "prores"],
)
def test_frames_have_their_own_times_and_looks(how: dict, tmp_path: Path) -> None:
    suffix = {"ffv1": ".mkv", "libvpx-vp9": ".webm", "mjpeg": ".avi", "prores_ks": ".mov"}.get(how.get("codec"), ".mp4")
    path = make_clip(tmp_path / f"in{suffix}", **how)
    expected = content(path)
    found = frames_of(path)
    assert [frame.seconds for frame in found] == expected.times
    assert [frame.index for frame in found] == list(range(len(found)))
    for frame, image in zip(found, expected.images, strict=True):
        assert frame.image.shape == image.shape
        assert frame.image.dtype == np.uint8
        assert np.abs(frame.image.astype(int) - image).mean() < 5


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_pictures_stand_upright(rotation: int, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4", rotation=rotation)
    source = open_source(path)
    image = next(iter(source.frames())).image
    assert (source.info.width, source.info.height) == ((48, 64) if rotation in (90, 270) else (64, 48))
    assert image.shape[:2] == (source.info.height, source.info.width)
    # The red quarter was top left as stored; turning it by `rotation` counter-clockwise is what players do.
    top, left = {0: (0, 0), 90: (1, 0), 180: (1, 1), 270: (0, 1)}[rotation]
    rows, columns = image.shape[0] // 2, image.shape[1] // 2
    corner = image[top * rows + 4 : (top + 1) * rows - 4, left * columns + 4 : (left + 1) * columns - 4]
    assert corner[:, :, 2].mean() > 150
    assert corner[:, :, 0].mean() < 60


def test_mirrored_pictures_are_unmirrored(tmp_path: Path) -> None:
    path = tmp_path / "in.mp4"
    plain = make_clip(tmp_path / "plain.mp4")
    with av.open(str(plain)) as read, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(read.streams.video[0])
        stream.set_display_rotation(0, hflip=True)
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    image = frames_of(path)[0].image
    assert image[4:20, 36:60, 2].mean() > 150
    assert image[4:20, 4:28, 0].mean() < 60 or image[4:20, 4:28, 2].mean() < 100


@pytest.mark.parametrize("rotation", [0, 90])
def test_frames_leave_memory_as_soon_as_they_are_converted(rotation: int, tmp_path: Path) -> None:
    source = open_source(make_clip(tmp_path / "in.mp4", rotation=rotation, pts=range(60)))
    gc.collect()
    gc.disable()  # a frame in a reference cycle would stay: 280 MiB of them were found in a 720p run
    try:
        count = sum(1 for _ in source.frames())
        alive = sum(isinstance(thing, VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
        source.close()
    assert count == 60
    assert alive < 5


def test_what_is_known_of_a_file(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4", channels=6, colour=(1, 1, 1, 1), time_base=Fraction(1001, 30000))
    info = open_source(path).info
    assert (info.kind, info.name, info.path, info.codec, info.live) == ("file", str(path), path, "h264", False)
    assert info.rate == Fraction(30000, 1001)
    assert info.frame_count == 12
    assert info.duration == pytest.approx(12 * 1001 / 30000, abs=0.001)
    assert (info.colour.range, info.colour.matrix, info.colour.primaries, info.colour.transfer) == (1, 1, 1, 1)
    assert info.has_audio
    assert info.extras == ("audio 1 (aac)",)


def test_interlaced_pictures_are_made_whole(tmp_path: Path) -> None:
    path = tmp_path / "in.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"flags": "+ildct+ilme", "crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for index in range(8):
            image = np.full((64, 64, 3), 30, np.uint8)
            for row in range(64):  # a bright bar that has moved on between the two fields
                left = 6 * index + (3 if row % 2 else 0)
                image[row, left : left + 8] = 230
            frame = av.VideoFrame.from_ndarray(image, "bgr24").reformat(format="yuv420p")
            frame.pts = index
            for packet in stream.encode(frame):
                out.mux(packet)
        out.mux(stream.encode(None))
    woven = content(path)
    source = open_source(path)
    found = list(source.frames())
    assert [frame.seconds for frame in found] == woven.times
    comb = [np.abs(np.diff(image[:, :, 1].astype(int), axis=0)).mean() for image in woven.images]
    smooth = [np.abs(np.diff(frame.image[:, :, 1].astype(int), axis=0)).mean() for frame in found]
    assert np.mean(smooth) < 0.5 * np.mean(comb)
    assert any("interlaced" in note for note in source.notes)


def test_a_stream_that_changes_size_is_scaled_and_said_so(tmp_path: Path) -> None:
    parts = [make_clip(tmp_path / f"{i}.ts", size=size) for i, size in enumerate([(64, 48), (96, 64)])]
    joined = tmp_path / "in.ts"
    joined.write_bytes(b"".join(p.read_bytes() for p in parts))
    source = open_source(joined)
    found = list(source.frames())
    assert {frame.image.shape for frame in found} == {(48, 64, 3)}
    assert len(found) >= 22
    assert [index_of(frame.image) for frame in found][:12] == list(range(12))
    times = [frame.seconds for frame in found]
    assert times == sorted(set(times))  # the second part set the clock back
    assert any("changed size" in note for note in source.notes)
    assert any("went backwards" in note for note in source.notes)


def test_missing_and_backward_timestamps_are_repaired() -> None:
    line = Timeline(Fraction(1, 1000), Fraction(25))
    assert [line.place(p) for p in (None, 40, None, 100, 100, 90, 140)] == [0, 40, 80, 100, 101, 102, 140]
    assert (line.missing, line.backwards) == (2, 2)
    assert [line.place(p) for p in (100_000, 10, 50, None)] == [100_000, 100_040, 100_080, 100_120]
    assert len(line.notes()) == 2


def test_a_raw_stream_without_timestamps(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.h264", container_format="h264", options={"bf": "2"})
    found = frames_of(path)
    assert [index_of(frame.image) for frame in found] == list(range(12))
    times = [frame.seconds for frame in found]
    assert all(later > at for at, later in pairwise(times))


def test_an_avi_with_b_frames_has_its_pictures_in_order(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.avi", codec="mpeg4", options={"bf": "2", "b": "2000000"})
    found = frames_of(path)
    assert [index_of(frame.image) for frame in found] == list(range(12))
    assert all(later.seconds > at.seconds for at, later in pairwise(found))


def test_a_cut_out_of_the_middle(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4", pts=tuple(range(5, 55)), options={"g": "12"})
    found = frames_of(path, SourceOptions(start=0.6, end=1.0))
    assert [frame.seconds for frame in found] == [Fraction(20 + i, 25) for i in range(10)]
    assert [index_of(frame.image) for frame in found] == list(range(15, 25))
    info = open_source(path, SourceOptions(start=0.6, end=1.0)).info
    assert (info.frame_count, info.origin) == (10, Fraction(4, 5))
    assert refusal(path, SourceOptions(start=100)).exit_code == 2
    assert refusal(path, SourceOptions(start=1, end=0.5)).exit_code == 2


def test_every_third_frame(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4")
    found = frames_of(path, SourceOptions(every=3))
    assert [(frame.index, frame.seconds) for frame in found] == [(i, Fraction(i, 25)) for i in (0, 3, 6, 9)]
    assert open_source(path, SourceOptions(every=3)).info.rate == Fraction(25, 3)


def test_a_file_is_played_at_its_speed_when_live(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4", pts=tuple(range(10)))
    found = frames_of(path, SourceOptions(live=True))
    assert found[-1].captured_at - found[0].captured_at > 0.2


def test_cut_with_the_index_in_front_gives_what_there_is_and_says_so(tmp_path: Path) -> None:
    whole = make_clip(
        tmp_path / "in.mp4", pts=tuple(range(60)), channels=2, container_options={"movflags": "+faststart"}
    )
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2])
    source = open_source(cut)
    found = []
    with pytest.raises(SourceLostError, match="shorter than its index says") as caught:  # noqa: PT012
        for frame in source.frames():
            found.append(frame)
    assert caught.value.exit_code == 4
    assert 20 < len(found) < 50
    expected = content(whole)
    assert [frame.seconds for frame in found] == expected.times[: len(found)]
    assert [index_of(frame.image) for frame in found] == [i % 30 for i in range(len(found))]


def test_damage_in_the_middle_costs_no_more_than_it_must_and_is_told(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "in.mp4", pts=tuple(range(60)), options={"g": "20"})
    data = bytearray(whole.read_bytes())
    begin = data.index(b"mdat") + 8
    middle = begin + (data.index(b"moov") - begin) // 2
    for place in range(middle, middle + 300):
        data[place] ^= 0x5A
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    source = open_source(damaged)
    found = list(source.frames())
    lost = 60 - len(found)
    assert 0 < lost < 30
    assert found[-1].seconds == content(whole).times[-1]
    assert any(f"{lost} pictures could not be decoded" in note for note in source.notes)


def test_cut_matroska_says_so(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "in.mkv", pts=tuple(range(60)), channels=2)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    source = open_source(cut)
    with pytest.raises(SourceLostError):
        list(source.frames())
    assert len(frames_of(whole)) == 60


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".flv"])
def test_a_file_that_starts_late_is_whole_until_it_is_cut(suffix: str, tmp_path: Path) -> None:
    whole = make_clip(
        tmp_path / f"in{suffix}", pts=tuple(range(130, 190)), codec="libvpx" if suffix == ".webm" else "libx264",
        container_options={"avoid_negative_ts": "disabled"} if suffix in (".mkv", ".webm") else {},
    )  # fmt: skip
    assert len(frames_of(whole)) == 60
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    error = refusal(cut)
    assert isinstance(error, SourceLostError)


def test_cut_with_the_index_behind_is_refused(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "in.mp4", pts=tuple(range(60)))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    error = refusal(cut)
    assert isinstance(error, SourceOpenError)
    assert "index is missing" in error.problem


def test_files_that_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is no video, whatever its name says\n" * 50)
    sound = tmp_path / "sound.m4a"
    with av.open(str(sound), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.rate = 48000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    unknown = tmp_path / "unknown.mp4"
    unknown.write_bytes(make_clip(tmp_path / "in.mp4").read_bytes().replace(b"avc1", b"zzz1"))
    for path, word in [
        (unknown, "codec that FFmpeg cannot decode"),
        (tmp_path / "empty.mp4", "empty"),
        (tmp_path / "text.mp4", "no video"),
        (tmp_path / "missing.mp4", "No such file"),
        (sound, "no video stream"),
        (tmp_path, "folder"),
    ]:
        error = refusal(path)
        assert error.exit_code == 3
        assert word in error.problem


def test_inputs_expand_to_sources(tmp_path: Path) -> None:
    names = ["b10.mp4", "b9.mp4", "notes.txt", ".hidden.part.mp4", "C.MOV"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    there = [str(tmp_path / n) for n in ("b9.mp4", "b10.mp4", "C.MOV")]
    assert expand_inputs([str(tmp_path)]) == there
    assert expand_inputs([str(tmp_path / "b*.mp4"), str(tmp_path / "b9.mp4")]) == there[:2]
    assert expand_inputs([str(tmp_path / "notes.txt")]) == [str(tmp_path / "notes.txt")]
    odd = ["test:64x48", "rtsp://cam/1", "-", "0", str(tmp_path / "img_%04d.png")]
    assert expand_inputs(odd) == odd
    for wrong in (tmp_path / "sub", tmp_path / "*.avi", tmp_path / "missing.mp4"):
        with pytest.raises(SourceOpenError):
            expand_inputs([str(wrong)])


def test_files_and_folders_may_be_named_like_a_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("2024").mkdir()
    make_clip(Path("2024/a.mp4"), pts=(0, 1)).rename("7")
    Path("2024/b.mp4").touch()
    assert expand_inputs(["2024", "2025"]) == [str(Path("2024/b.mp4")), "2025"]
    for text in ("7", "[7]"):
        (file,) = expand_inputs([text])
        assert len(frames_of(file)) == 2


def test_memory_stays_flat(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "in.mp4", pts=tuple(range(900)))
    source = open_source(path)
    resident = {}
    for frame in source.frames():
        if frame.index in (400, 899):
            resident[frame.index] = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    assert resident[899] - resident[400] < 2e6


def test_stop_ends_the_frames(tmp_path: Path) -> None:
    source = open_source(make_clip(tmp_path / "in.mp4"))
    seen = 0
    with pytest.raises(StopIteration):  # noqa: PT012
        iterator = source.frames()
        while True:
            next(iterator)
            seen += 1
            source.stop()
    assert seen == 1
    source.close()


def test_usage_errors_name_the_option() -> None:
    with pytest.raises(UsageError, match="test:WIDTH"):
        open_source("test:big")
