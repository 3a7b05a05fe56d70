"""Network streams that stall, break, mumble or come back; standard input; names without credentials."""

import ast
import subprocess
import sys
import threading
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import pytest

from fastinst_rt.errors import SourceLostError, SourceOpenError, UsageError
from fastinst_rt.video.outputs import plan_jobs
from fastinst_rt.video.sources import SourceOptions, open_source
from fastinst_rt.video.urls import is_url, redact, redact_all, redact_within

from .clips import content, make_clip, picture
from .servers import serving

QUICK = SourceOptions(open_timeout=0.5, read_timeout=0.5)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(
        tmp_path / "in.mp4", pts=tuple(range(100)), channels=2, container_options={"movflags": "+faststart"}
    )


def test_credentials_are_redacted() -> None:
    assert redact("rtsp://admin:geheim@cam:554/a?token=abc&ch=1") == "rtsp://***@cam:554/a?token=***&ch=1"
    assert redact("http://cam/video?password=x%20y") == "http://cam/video?password=***"
    assert redact("/videos/me@home:1.mp4") == "/videos/me@home:1.mp4"
    assert redact_within("Error at http://u:pw@h/x and u:pw", "http://u:pw@h/x") == "Error at http://***@h/x and ***"
    assert [is_url(t) for t in ("rtsp://a", "https://b/c.m3u8", "C:/x.mp4", "a:b.mp4", "test:64x48")] == [
        True, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize("sign", list("#/?[]@:& '"))
def test_passwords_with_unescaped_signs_are_redacted(sign: str) -> None:
    url = f"rtsp://admin:ge{sign}heim@cam:554/live"
    assert redact(url) == "rtsp://***@cam:554/live"
    assert redact_within(f"Error at {url}: admin:ge{sign}heim", url) == "Error at rtsp://***@cam:554/live: ***"
    assert redact_all(f"at '{url}'; the log ends\nhere") == "at 'rtsp://***@cam:554/live'; the log ends\nhere"
    with pytest.raises(SourceOpenError) as caught:
        open_source(f"http://admin:ge{sign}heim@127.0.0.1:9/in.mp4", QUICK)
    assert "heim" not in str(caught.value)


def test_secrets_of_queries_are_redacted_to_their_end() -> None:
    assert redact("http://cam/x?token=ab#cd&ch=1") == "http://cam/x?token=***&ch=1"
    assert redact("http://cam/x?ch=ä&b#access_token=abc") == "http://cam/x?ch=ä&b#access_token=***"
    assert redact("https://host/@user/clip.mp4") == "https://***@user/clip.mp4"  # rather too much than too little
    text = "File '/a/b.py' of me@home: 'http://cam/x?token=ab', \"rtsp://u:pw@cam/y?pwd=cd\""
    for secret in ("=ab", "=cd", "pw"):
        assert secret not in redact_all(text).replace("pwd", "")
    assert redact_all("File '/a/b.py' of me@home") == "File '/a/b.py' of me@home"


def test_outputs_are_named_after_urls_without_their_secrets(tmp_path: Path) -> None:
    def name(url: str) -> str:
        video = plan_jobs([url], tmp_path)[0].outputs.video
        assert video is not None
        return video.name

    assert name("rtsp://admin:hunter2@cam.local/live") == "rtsp-cam.local-live.mp4"
    one = name("rtsp://admin:hunter2@cam.local/live?token=abc")
    assert one.startswith("rtsp-cam.local-live-")
    assert one == name("rtsp://cam.local/live?token=another")  # the same stream, later
    assert name("http://cam/get?id=1") != name("http://cam/get?id=2")
    assert name("http://cam/get?id=" + "1" * 5000).startswith("http-cam-get-")
    with pytest.raises(UsageError) as caught:
        plan_jobs(["http://cam/get?token=abc", "http://cam/get?token=xyz"], tmp_path)
    assert "abc" not in str(caught.value)


def test_a_whole_file_over_http(clip: Path) -> None:
    with serving(clip.read_bytes()) as server:
        source = open_source(f"http://user:geheim@{server.address}/in.mp4")
        assert "geheim" not in source.info.name
        assert [frame.seconds for frame in source.frames()] == content(clip).times
        source.close()
        begun = time.monotonic()
        while any(server.address in thread.name for thread in threading.enumerate()):
            assert time.monotonic() - begun < 5
            time.sleep(0.01)


def test_a_recording_is_played_live_from_its_first_picture(clip: Path) -> None:
    with serving(clip.read_bytes()) as server:
        source = open_source(f"http://{server.address}/in.mp4", SourceOptions(live=True))
        assert next(source.frames()).seconds == content(clip).times[0]
        source.stop()
        source.close()


def test_nobody_there_is_refused_without_its_password() -> None:
    with pytest.raises(SourceOpenError) as caught:
        open_source("http://user:geheim@127.0.0.1:9/in.mp4", QUICK)
    assert caught.value.exit_code == 3
    assert "geheim" not in str(caught.value)


def test_a_server_that_never_answers_does_not_hang() -> None:
    with serving(b"", "mute") as server:
        begun = time.monotonic()
        with pytest.raises(SourceOpenError, match=r"no answer within 0\.5 seconds"):
            open_source(f"http://{server.address}/in.mp4", QUICK)
        assert time.monotonic() - begun < 5


@pytest.mark.parametrize("manner", ["stall", "reset"])
def test_a_server_that_breaks_off_gives_what_came(manner: str, clip: Path) -> None:
    body = clip.read_bytes()
    with serving(body, manner, sent=len(body) * 2 // 3) as server:
        source = open_source(f"http://{server.address}/in.mp4", QUICK)
        found = []
        begun = time.monotonic()
        with pytest.raises(SourceLostError) as caught:  # noqa: PT012
            for frame in source.frames():
                found.append(frame)
        assert time.monotonic() - begun < 5
        source.close()
    assert caught.value.exit_code == 4
    assert 20 < len(found) < 100
    assert [frame.seconds for frame in found] == content(clip).times[: len(found)]


def test_stop_frees_a_reader_that_is_stuck(clip: Path) -> None:
    body = clip.read_bytes()
    with serving(body, "stall", sent=len(body) * 2 // 3) as server:
        source = open_source(f"http://{server.address}/in.mp4", SourceOptions(open_timeout=5, read_timeout=60))
        threading.Timer(0.5, source.stop).start()
        begun = time.monotonic()
        list(source.frames())
        assert time.monotonic() - begun < 3


def test_a_lost_camera_page_is_opened_again_and_the_gap_is_a_gap() -> None:
    jpeg = cv2.imencode(".jpg", picture(5, 160, 120))[1].tobytes()
    with serving(jpeg, "live", sent=40) as server:
        source = open_source(f"http://{server.address}/mjpeg", SourceOptions(live=True, read_timeout=2))
        found = []
        for frame in source.frames():
            found.append(frame)
            if source.outages and len(found) > 50:
                break
        source.stop()
        source.close()
        assert server.connections == 2
    seconds = [float(frame.seconds) for frame in found]
    gaps = [later - at for at, later in pairwise(seconds)]
    assert max(gaps) > 0.4
    assert all(gap > 0 for gap in gaps)
    assert [frame.index for frame in found] == list(range(len(found)))
    assert any("opened again" in note for note in source.notes)
    assert source.info.live


def test_standard_input(tmp_path: Path) -> None:
    piped = make_clip(tmp_path / "in.ts", pts=tuple(range(30)))
    code = (
        "from fastinst_rt.video.sources import open_source\nprint([str(f.seconds) for f in open_source('-').frames()])"
    )
    with piped.open("rb") as data:
        done = subprocess.run([sys.executable, "-c", code], stdin=data, capture_output=True, text=True, timeout=60)
    assert ast.literal_eval(done.stdout) == [str(t) for t in content(piped).times], done.stderr


def test_standard_input_that_is_no_video() -> None:
    code = "from fastinst_rt.video.sources import open_source\nopen_source('-')"
    done = subprocess.run(
        [sys.executable, "-c", code], input="text " * 5000, capture_output=True, text=True, timeout=60
    )
    assert "stdin cannot be opened" in done.stderr


def test_hls(tmp_path: Path) -> None:
    import av

    clip = make_clip(tmp_path / "in.mp4", pts=tuple(range(60)), channels=1, options={"g": "10"})
    playlist = tmp_path / "live.m3u8"
    with (
        av.open(str(clip)) as read,
        av.open(str(playlist), "w", format="hls", container_options={"hls_time": "0.4", "hls_list_size": "0"}) as out,
    ):
        copies = [out.add_stream_from_template(s, opaque=True) for s in read.streams]
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream_index]
                out.mux(packet)
    source = open_source(playlist)
    times = [frame.seconds for frame in source.frames()]
    assert [t - times[0] for t in times] == [Fraction(i, 25) for i in range(60)]
    assert source.info.has_audio
