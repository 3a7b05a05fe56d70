"""The annotated video against its source: nothing lost, nothing moved."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from fastinst_rt.errors import SourceLostError
from fastinst_rt.video import encoders
from fastinst_rt.video.muxing import is_incomplete
from fastinst_rt.video.sources import SourceOptions, open_source
from fastinst_rt.video.video_sink import VideoSink

from .clips import add_subtitles, content, index_of, make_clip
from .copying import copy
from .servers import serving

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


@pytest.mark.parametrize(
    ("colour", "size"),
    [((1, 1, 1, 1), (64, 48)), ((2, 1, 1, 1), (64, 48)), ((1, 6, 6, 6), (64, 48)), ((1, 9, 9, 14), (64, 48))],
    ids=["709", "709 full range", "601", "2020"],
)
def test_range_matrix_and_looks_stay(colour: tuple[int, ...], size: tuple[int, int], tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", colour=colour, size=size)
    copy(source, tmp_path / "out.mp4")
    for path in (source, tmp_path / "out.mp4"):
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
            found = (frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc)
            assert found == colour
    before, after = content(source).images[3], content(tmp_path / "out.mp4").images[3]
    assert np.abs(before[4:20, 4:28].astype(int).mean((0, 1)) - after[4:20, 4:28].mean((0, 1))).max() < 6


def test_untagged_video_keeps_its_looks_at_any_height(tmp_path: Path) -> None:
    for size in ((64, 48), (96, 720)):
        source = make_clip(tmp_path / "in.mp4", pts=(0, 1), size=size)
        copy(source, tmp_path / "out.mp4")
        before, after = content(source).images[0], content(tmp_path / "out.mp4").images[0]
        assert np.abs(before[4:20, 4:28].astype(int).mean((0, 1)) - after[4:20, 4:28].mean((0, 1))).max() < 6


def test_the_index_is_in_front(tmp_path: Path) -> None:
    copy(make_clip(tmp_path / "in.mp4", channels=2), tmp_path / "out.mp4")
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert b"moof" not in data
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_tags_chapters_and_language_stay(tmp_path: Path) -> None:
    plain = make_clip(tmp_path / "plain.mp4", channels=1)
    source = tmp_path / "in.mp4"
    with av.open(str(plain)) as read, av.open(str(source), "w") as out:
        copies = [out.add_stream_from_template(s, opaque=True) for s in read.streams]
        copies[1].metadata["language"] = "fra"
        out.metadata["title"] = "Straße"
        out.set_chapters(
            [{"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {"title": "one"}}]
        )
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream_index]
                out.mux(packet)
    for suffix in (".mp4", ".mkv"):
        copy(source, tmp_path / f"out{suffix}")
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            tags = {key.lower(): value for key, value in container.metadata.items()}
            assert tags["title"] == "Straße"
            assert "comment" not in tags
            assert [c["metadata"]["title"] for c in container.chapters()] == ["one"]
            assert container.streams.audio[0].language == "fra"


def test_subtitles_are_copied_where_the_container_takes_them_and_named_where_not(tmp_path: Path) -> None:
    source = add_subtitles(make_clip(tmp_path / "plain.mp4", channels=2), tmp_path / "in.mkv")
    kept = copy(source, tmp_path / "out.mkv")
    assert content(tmp_path / "out.mkv").packets == content(source).packets
    assert not any("cannot carry" in note for note in kept.notes)
    left = copy(source, tmp_path / "out.mp4")
    assert ".mp4 cannot carry subtitle 2 (subrip); left out of out.mp4." in left.notes
    assert content(tmp_path / "out.mp4").packets["audio"] == content(source).packets["audio"]


def test_matroska_to_matroska_is_exact_and_keeps_attachments(tmp_path: Path) -> None:
    plain = make_clip(tmp_path / "plain.mkv", time_base=Fraction(1001, 30000), channels=2)
    source = tmp_path / "in.mkv"
    with av.open(str(plain)) as read, av.open(str(source), "w") as out:
        copies = [out.add_stream_from_template(s, opaque=True) for s in read.streams]
        out.add_attachment("font.ttf", "application/x-truetype-font", b"letters")
        for packet in read.demux():
            if packet.size:
                packet.stream = copies[packet.stream_index]
                out.mux(packet)
    copy(source, tmp_path / "out.mkv")
    before, after = content(source), content(tmp_path / "out.mkv")
    assert (after.times, after.packets, after.packet_times) == (before.times, before.packets, before.packet_times)
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert [s.data for s in container.streams if s.type == "attachment"] == [b"letters"]
    sink = copy(source, tmp_path / "out.mp4")
    assert any("cannot carry attachment 2" in note for note in sink.notes)


def test_webm_takes_vp9_and_names_the_sound_it_cannot_take(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", channels=2)
    sink = copy(source, tmp_path / "out.webm")
    assert ".webm cannot carry audio 1 (aac); left out of out.webm." in sink.notes
    assert len(content(tmp_path / "out.webm").times) == 12
    opus = make_clip(tmp_path / "in.webm", codec="libvpx-vp9", channels=2, audio_codec="libopus")
    copy(opus, tmp_path / "out2.webm")
    assert content(tmp_path / "out2.webm").packets["audio"] == content(opus).packets["audio"]


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9", "mpeg4"])
def test_codecs(codec: str, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", channels=1)
    copy(source, tmp_path / "out.mp4", codec=codec)
    before, after = content(source), content(tmp_path / "out.mp4")
    assert after.times == before.times
    assert after.packets == before.packets


def test_quality_follows_crf(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", size=(160, 120))
    copy(source, tmp_path / "fine.mp4", crf=5)
    copy(source, tmp_path / "coarse.mp4", crf=45)
    assert (tmp_path / "fine.mp4").stat().st_size > (tmp_path / "coarse.mp4").stat().st_size


@pytest.mark.parametrize("begin", [1.0, 6.0])
@pytest.mark.parametrize("audio_codec", ["aac", "ac3"])
def test_sound_that_starts_late(begin: float, audio_codec: str, tmp_path: Path) -> None:
    source = make_clip(
        tmp_path / "in.mp4",
        pts=tuple(range(200)),
        channels=2,
        audio_begin=begin,
        audio_seconds=2.0,
        audio_codec=audio_codec,
        options={"g": "25"},
    )
    copy(source, tmp_path / "out.mp4")
    before, after = content(source), content(tmp_path / "out.mp4")
    assert (after.times, after.packets, after.packet_times) == (before.times, before.packets, before.packet_times)


def test_a_sound_stream_without_a_packet(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", pts=tuple(range(100)), channels=2, audio_begin=9.0, audio_seconds=0.5)
    copy(source, tmp_path / "out.mp4", SourceOptions(end=3.5))
    assert content(tmp_path / "out.mp4").times == [Fraction(i, 25) for i in range(88)]


def test_pictures_that_end_before_the_sound_starts(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", channels=1, audio_begin=3.0, audio_seconds=0.5)
    copy(source, tmp_path / "out.mp4")
    before, after = content(source), content(tmp_path / "out.mp4")
    assert (after.times, after.packets, after.packet_times) == (before.times, before.packets, before.packet_times)


@pytest.mark.parametrize(
    ("audio_codec", "made", "suffix"),
    [("pcm_s16le", ".mkv", ".mp4"), ("flac", ".mkv", ".mp4"), ("libopus", ".mkv", ".mp4"), ("eac3", ".mp4", ".mov"),
     ("alac", ".mp4", ".mkv"), ("mp2", ".ts", ".mp4"), ("pcm_s24le", ".mov", ".mkv")],
)  # fmt: skip
def test_sound_of_other_codecs(audio_codec: str, made: str, suffix: str, tmp_path: Path) -> None:
    source = make_clip(tmp_path / f"in{made}", channels=2, audio_codec=audio_codec, options={"strict": "-2"})
    copy(source, tmp_path / f"out{suffix}")
    assert content(tmp_path / f"out{suffix}").packets == content(source).packets


def test_sound_that_a_format_claims_to_take_and_does_not(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", channels=2, audio_codec="libopus")
    sink = copy(source, tmp_path / "out.mov")
    assert ".mov cannot carry audio 1 (opus); left out of out.mov." in sink.notes
    assert len(content(tmp_path / "out.mov").times) == 12


def test_broadcast_sound_loses_its_packet_headers_only(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.ts", pts=tuple(range(30)), channels=2)
    copy(source, tmp_path / "out.mp4")
    before, after = content(source), content(tmp_path / "out.mp4")
    assert [packet[7:] for packet in before.packets["audio"][0]] == after.packets["audio"][0]
    assert after.times == before.times
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) >= 1024 * len(after.packets["audio"][0]) - 1024


@pytest.mark.parametrize(("rotation", "shown"), [(0, Fraction(4, 3)), (90, Fraction(3, 4))])
def test_the_shape_of_pixels_stays(rotation: int, shown: Fraction, tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", rotation=rotation, sample_aspect=Fraction(4, 3))
    copy(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == shown


def test_the_hardware_encoder_is_taken_only_if_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    info = open_source("test:64x48,frames=1").info
    for works, taken in ((True, "h264_nvenc"), (False, "libx264")):
        monkeypatch.setattr(encoders, "_opens", lambda choice, _, works=works: works or choice.name == "libx264")
        assert encoders.choose_encoder("h264", None, info).name == taken


def test_without_sound_when_asked(tmp_path: Path) -> None:
    copy(make_clip(tmp_path / "in.mp4", channels=2), tmp_path / "out.mp4", audio=False)
    assert content(tmp_path / "out.mp4").packets["audio"] == []


def test_a_cut_starts_at_zero_with_its_sound(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", pts=tuple(range(50)), channels=2, options={"g": "10"})
    copy(source, tmp_path / "out.mp4", SourceOptions(start=0.6, end=1.4))
    after = content(tmp_path / "out.mp4")
    assert after.times == [Fraction(i, 25) for i in range(20)]
    assert [index_of(image) for image in after.images] == [(15 + i) % 30 for i in range(20)]
    times = after.packet_times["audio"][0]
    assert -0.03 < times[0] <= 0
    assert 0.75 < times[-1] < 0.8
    everything = content(source).packets["audio"][0]
    assert b"".join(after.packets["audio"][0]) in b"".join(everything)


def test_a_recording_of_a_live_source_begins_when_it_is_switched_on(tmp_path: Path) -> None:
    source = open_source("test:64x48@200,frames=30", SourceOptions(live=True))
    sink = None
    for frame in source.frames():
        if frame.index == 10:
            sink = VideoSink(tmp_path / "out.mp4", source)
        if sink is not None:
            sink.write(frame, None, None)
    sink.close()
    assert content(tmp_path / "out.mp4").times == [Fraction(i, 200) for i in range(20)]


def test_two_outputs_of_one_source_share_no_sound(tmp_path: Path) -> None:
    source = open_source(make_clip(tmp_path / "in.mp4", channels=2))
    one, two = VideoSink(tmp_path / "one.mp4", source), VideoSink(tmp_path / "two.mp4", source)
    assert any("no sound" in note for note in two.notes)
    for frame in source.frames():
        one.write(frame, None, None)
        two.write(frame, None, None)
    one.close()
    two.close()
    found = [content(tmp_path / name).packets["audio"] for name in ("in.mp4", "one.mp4", "two.mp4")]
    assert found[0] == found[1]
    assert found[2] == []


def test_a_network_stream_is_recorded_with_its_sound(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.mp4", channels=2, container_options={"movflags": "+faststart"})
    with serving(clip.read_bytes()) as server:
        copy(f"http://{server.address}/in.mp4", tmp_path / "out.mp4")
    before, after = content(clip), content(tmp_path / "out.mp4")
    assert (after.times, after.packets) == (before.times, before.packets)


def test_a_cut_file_leaves_what_it_had(tmp_path: Path) -> None:
    whole = make_clip(
        tmp_path / "in.mp4", pts=tuple(range(60)), channels=2, container_options={"movflags": "+faststart"}
    )
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2])
    with pytest.raises(SourceLostError):
        copy(cut, tmp_path / "out.mp4")
    before, after = content(whole), content(tmp_path / "out.mp4")
    assert 20 < len(after.times) < 60
    assert after.times == before.times[: len(after.times)]
    sound = after.packets["audio"][0]
    assert sound
    assert sound == before.packets["audio"][0][: len(sound)]


def test_an_aborted_run_leaves_a_playable_file_that_says_so(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv"):
        source = open_source(make_clip(tmp_path / "in.mp4", pts=tuple(range(100)), channels=2))
        sink = VideoSink(tmp_path / f"out{suffix}", source)
        for frame in source.frames():
            sink.write(frame, None, None)
            if frame.index == 40:
                break
        sink.abort()
        source.close()
        after = content(tmp_path / f"out{suffix}")
        assert len(after.times) == 41
        assert after.packet_times["audio"][0][-1] <= after.times[-1] + Fraction(1, 25)
        assert is_incomplete(tmp_path / f"out{suffix}")
        assert not is_incomplete(tmp_path / "in.mp4")


def test_a_sink_without_frames_leaves_nothing(tmp_path: Path) -> None:
    source = open_source(make_clip(tmp_path / "in.mp4"))
    for end in ("close", "abort"):
        getattr(VideoSink(tmp_path / "out.mp4", source), end)()
        assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_real_clips_come_through_whole(shared_data: Path, tmp_path: Path) -> None:
    clips = sorted((shared_data / "clips").glob("*.mp4"))
    assert clips
    clip = min(clips, key=lambda p: p.stat().st_size)
    copy(clip, tmp_path / "out.mp4", SourceOptions(end=2.0))
    before, after = content(clip), content(tmp_path / "out.mp4")
    assert after.times == [t for t in before.times if t - before.times[0] < 2]
