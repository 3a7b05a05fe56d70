"""The web page of the live picture."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from fastinst_rt.categories import COCO
from fastinst_rt.errors import OutputError, UsageError
from fastinst_rt.results import Frame, Instances
from fastinst_rt.video.mjpeg import MOST_VIEWERS, MjpegSink, parse_address
from fastinst_rt.video.pipeline import Pipeline

from .stages import TIME_BASE, CountingSource, SleepingNetwork


@pytest.fixture
def sink() -> Iterator[MjpegSink]:
    before = threading.active_count()
    sink = MjpegSink("127.0.0.1", 0)
    yield sink
    sink.close()
    assert threading.active_count() == before


def port(sink: MjpegSink) -> int:
    return int(sink.url.rstrip("/").rsplit(":", 1)[1])


def get(sink: MjpegSink, path: str, host: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port(sink), timeout=5)
    connection.request("GET", path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def feed(sink: MjpegSink, number: int, size: tuple[int, int] = (90, 160)) -> None:
    image = np.full((*size, 3), number, np.uint8)
    sink.write(Frame(number, number, TIME_BASE, image, time.monotonic()), image, Instances.empty(size, COCO))


def watch(sink: MjpegSink, path: str = "/stream") -> socket.socket:
    """A viewer of the stream, or of another page."""
    viewer = socket.create_connection(("127.0.0.1", port(sink)), timeout=5)
    viewer.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    return viewer


def wait_for_viewers(sink: MjpegSink, number: int) -> None:
    deadline = time.monotonic() + 5
    while sink.stats()["viewers"] != number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read_picture(viewer: socket.socket, buffer: bytearray) -> np.ndarray:
    """The next picture that a viewer gets."""
    while True:
        begin, end = buffer.find(b"\xff\xd8"), buffer.find(b"\xff\xd9")
        if 0 <= begin < end:
            picture = cv2.imdecode(np.frombuffer(bytes(buffer[begin : end + 2]), np.uint8), cv2.IMREAD_COLOR)
            del buffer[: end + 2]
            return picture
        got = viewer.recv(65536)
        assert got
        buffer += got


def test_page_and_stats(sink: MjpegSink) -> None:
    status, page = get(sink, "/")
    assert status == 200
    assert b'<img src="/stream"' in page
    pipeline = Pipeline(CountingSource(5), SleepingNetwork(), [])
    sink.connect(pipeline, "camera 0", "sleep")
    pipeline.run()
    stats = json.loads(get(sink, "/stats.json")[1])
    assert (stats["source"], stats["engine"], stats["frames_out"], stats["state"]) == ("camera 0", "sleep", 5, "ended")
    assert get(sink, "/nothing")[0] == 404


def test_nothing_is_drawn_or_encoded_without_a_viewer(sink: MjpegSink, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("encoded for nobody")

    monkeypatch.setattr(cv2, "imencode", fail)
    for number in range(20):
        feed(sink, number)
    assert not sink.needs_overlay


def test_viewers_see_the_newest_picture(sink: MjpegSink) -> None:
    viewers = [watch(sink) for _ in range(3)]
    wait_for_viewers(sink, 3)
    assert sink.needs_overlay
    feed(sink, 200)
    for viewer in viewers:
        assert abs(int(read_picture(viewer, bytearray())[40, 80, 0]) - 200) <= 3
        viewer.close()
    deadline = time.monotonic() + 5
    while sink.stats()["viewers"] and time.monotonic() < deadline:  # those who left are noticed by the next pictures
        feed(sink, 100)
        time.sleep(0.02)
    assert not sink.needs_overlay


def test_snapshot(sink: MjpegSink) -> None:
    threading.Timer(0.2, feed, [sink, 120]).start()
    status, body = get(sink, "/snapshot.jpg")
    assert status == 200
    assert cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR).shape == (90, 160, 3)


@pytest.mark.parametrize("path", ["/snapshot.jpg", "/stream"])
def test_a_viewer_who_comes_after_others_left_sees_no_old_picture(sink: MjpegSink, path: str) -> None:
    feed(sink, 200)
    size = (90, 160)
    image = np.zeros((*size, 3), np.uint8)
    sink.write(Frame(1, 1, TIME_BASE, image, time.monotonic()), None, Instances.empty(size, COCO))  # nobody watches
    viewer = watch(sink, path)
    wait_for_viewers(sink, 1)
    feed(sink, 50)
    assert abs(int(read_picture(viewer, bytearray())[40, 80, 0]) - 50) <= 3
    viewer.close()


def test_a_viewer_that_does_not_read_holds_up_nobody(sink: MjpegSink) -> None:
    slow, quick = watch(sink), watch(sink)
    wait_for_viewers(sink, 2)
    noise = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)  # about 1 MB of JPEG
    empty = Instances.empty((720, 1280), COCO)
    buffer, longest = bytearray(), 0.0
    for number in range(12):
        start = time.monotonic()
        sink.write(Frame(number, number, TIME_BASE, noise, start), noise, empty)
        longest = max(longest, time.monotonic() - start)
        read_picture(quick, buffer)
    assert longest < 0.1
    quick.close()
    slow.close()


def test_too_many_viewers_are_sent_away(sink: MjpegSink) -> None:
    viewers = [watch(sink) for _ in range(MOST_VIEWERS)]
    wait_for_viewers(sink, MOST_VIEWERS)
    assert get(sink, "/snapshot.jpg")[0] == 503
    for viewer in viewers:
        viewer.close()


def test_other_host_names_are_refused_on_loopback(sink: MjpegSink) -> None:
    assert get(sink, "/", host="evil.example")[0] == 403
    assert get(sink, "/", host=f"localhost:{port(sink)}")[0] == 200


def test_closing_sends_viewers_away_and_frees_the_port() -> None:
    sink = MjpegSink("127.0.0.1", 0)
    viewer = watch(sink)
    wait_for_viewers(sink, 1)
    before = time.monotonic()
    sink.close()
    sink.abort()
    assert time.monotonic() - before < 2
    viewer.settimeout(2)
    while viewer.recv(4096):
        pass
    again = MjpegSink("127.0.0.1", port(sink))
    again.close()


def test_taken_port_is_said_in_a_sentence(sink: MjpegSink) -> None:
    with pytest.raises(OutputError, match="cannot be served on"):
        MjpegSink("127.0.0.1", port(sink))


def test_addresses() -> None:
    assert parse_address("8080") == parse_address(":8080") == ("127.0.0.1", 8080)
    assert parse_address("0.0.0.0:80") == ("0.0.0.0", 80)
    assert parse_address("[::1]:80") == ("::1", 80)
    for text in ("host", "host:", "1.2.3.4:99999", "x:-1"):
        with pytest.raises(UsageError):
            parse_address(text)
