"""Sources that are no container: the test pattern, numbered pictures, cameras."""

import threading
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from fastinst_rt.errors import SourceLostError, SourceOpenError, UsageError
from fastinst_rt.video.camera import CameraSource
from fastinst_rt.video.clock import Backoff, Pacer
from fastinst_rt.video.sources import SourceOptions, open_source

from .clips import index_of, picture


@pytest.mark.parametrize(
    ("spec", "size", "rate", "count"),
    [
        ("test:", (640, 360), Fraction(30), None),
        ("test:320x240", (320, 240), Fraction(30), None),
        ("test:64x48@25,frames=7", (64, 48), Fraction(25), 7),
        ("test:@60", (640, 360), Fraction(60), None),
        ("test:frames=3", (640, 360), Fraction(30), 3),
        ("test:65x47@29.97,frames=3", (65, 47), Fraction(30000, 1001), 3),
        ("test:64x48@30000/1001,frames=3", (64, 48), Fraction(30000, 1001), 3),
    ],
)
def test_pattern_names(spec: str, size: tuple[int, int], rate: Fraction, count: int | None) -> None:
    info = open_source(spec).info
    assert (info.width, info.height, info.rate, info.frame_count) == (*size, rate, count)
    assert info.time_base == 1 / rate


@pytest.mark.parametrize(
    "spec", ["test:x", "test:64", "test:64x48@0", "test:4x4", "test:64x48,frames=many", "test:@30/0", "test:@30.5/2"]
)
def test_pattern_names_that_mean_nothing(spec: str) -> None:
    with pytest.raises(UsageError):
        open_source(spec)


def test_the_pattern_moves_and_is_the_same_every_time() -> None:
    one = [frame.image for frame in open_source("test:160x120,frames=5").frames()]
    two = [frame.image for frame in open_source("test:160x120,frames=5").frames()]
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[0], one[1])
    assert one[0].shape == (120, 160, 3)


def test_the_pattern_keeps_time_when_live_even_if_its_viewer_is_late() -> None:
    begun = time.monotonic()
    for frame in open_source("test:64x48@100,frames=40", SourceOptions(live=True)).frames():
        if frame.index == 10:
            time.sleep(0.25)
    assert 0.38 < time.monotonic() - begun < 0.6


def test_stop_wakes_a_waiting_pattern() -> None:
    source = open_source("test:64x48@0.1", SourceOptions(live=True))
    threading.Timer(0.2, source.stop).start()
    begun = time.monotonic()
    assert len(list(source.frames())) == 1
    assert time.monotonic() - begun < 5


def test_pictures_in_the_order_of_their_numbers_with_gaps_as_gaps(tmp_path: Path) -> None:
    for number in (8, 9, 10, 12):
        cv2.imwrite(str(tmp_path / f"img_{number:04d}.png"), picture(number - 8))
    (tmp_path / "img_11.png").write_bytes(b"another width of number")
    source = open_source(tmp_path / "img_%04d.png")
    found = list(source.frames())
    assert [frame.pts for frame in found] == [0, 1, 2, 4]
    assert [frame.index for frame in found] == [0, 1, 2, 3]
    assert [index_of(frame.image) for frame in found] == [0, 1, 2, 4]
    assert (source.info.rate, source.info.frame_count, source.info.kind) == (25, 4, "images")
    assert any("missing" in note for note in source.notes)


def test_pictures_without_leading_zeros_and_at_a_rate(tmp_path: Path) -> None:
    for number in (9, 10, 11):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture(number))
    source = open_source(tmp_path / "%d.png", SourceOptions(rate=Fraction(10)))
    assert [float(frame.seconds) for frame in source.frames()] == [0, 0.1, 0.2]


def test_pictures_that_are_not_there_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(SourceOpenError, match="No picture matches"):
        open_source(tmp_path / "img_%04d.png")
    cv2.imwrite(str(tmp_path / "img_0000.png"), picture(0))
    (tmp_path / "img_0001.png").write_bytes(b"damaged")
    source = open_source(tmp_path / "img_%04d.png")
    found = []
    with pytest.raises(SourceLostError, match="img_0001"):  # noqa: PT012
        for frame in source.frames():
            found.append(frame)
    assert len(found) == 1


class FakeCamera:
    """A camera that takes MJPG up to 320x240 and gives a picture every 5 ms, `lasts` of them."""

    def __init__(self, lasts: int = 1_000_000, works: bool = True) -> None:
        self.asked: list[tuple[int, float]] = []
        self.values = {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_FRAME_WIDTH: 160.0, cv2.CAP_PROP_FRAME_HEIGHT: 120.0}
        self.left, self.works, self.released = lasts, works, False

    def isOpened(self) -> bool:  # noqa: N802
        return self.works

    def set(self, prop: int, value: float) -> bool:
        self.asked.append((prop, value))
        if prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT):
            value = min(value, {cv2.CAP_PROP_FRAME_WIDTH: 320, cv2.CAP_PROP_FRAME_HEIGHT: 240}[prop])
        self.values[prop] = value
        return True

    def get(self, prop: int) -> float:
        return self.values.get(prop, 0.0)

    def read(self) -> tuple[bool, np.ndarray | None]:
        time.sleep(0.005)
        if self.left <= 0:
            return False, None
        self.left -= 1
        size = int(self.values[cv2.CAP_PROP_FRAME_HEIGHT]), int(self.values[cv2.CAP_PROP_FRAME_WIDTH])
        return True, np.zeros((*size, 3), np.uint8)

    def release(self) -> None:
        self.released = True


def test_a_camera_is_asked_for_mjpg_first_and_its_mode_is_told() -> None:
    camera = FakeCamera()
    source = CameraSource("0", SourceOptions(size=(1280, 720), rate=Fraction(60)), lambda _: camera)
    assert camera.asked[0] == (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    assert (cv2.CAP_PROP_BUFFERSIZE, 1) in camera.asked
    assert (source.info.width, source.info.height, source.info.rate) == (320, 240, 60)
    assert source.notes == ["camera 0: 320x240, MJPG, 60 frames a second (1280x720 was asked for)."]
    assert source.info.live
    frames = source.frames()
    first, second = next(frames), next(frames)
    assert first.image.shape == (240, 320, 3)
    assert 0 < second.seconds - first.seconds < 1
    source.stop()
    source.close()
    assert camera.released


def test_a_lost_camera_is_opened_again_and_the_gap_is_a_gap() -> None:
    cameras = [FakeCamera(lasts=10), FakeCamera(works=False), FakeCamera()]
    opened = iter(cameras)
    source = CameraSource("/dev/video0", SourceOptions(), lambda _: next(opened))
    found = []
    for frame in source.frames():
        found.append(frame)
        if len(found) == 20:
            break
    source.stop()
    source.close()
    gaps = [float(later.seconds - at.seconds) for at, later in pairwise(found)]
    assert max(gaps) == gaps[8] > 1.4  # 0.5 s, then 1 s; the first of ten pictures proved that it works
    assert all(gap > 0 for gap in gaps)
    assert source.outages == 1
    assert any("opened again" in note for note in source.notes)
    assert all(camera.released for camera in cameras)


def test_no_camera_and_a_camera_without_pictures() -> None:
    with pytest.raises(SourceOpenError, match="cannot be opened"):
        CameraSource("7", SourceOptions(), lambda _: FakeCamera(works=False))
    with pytest.raises(SourceOpenError, match="gives no picture"):
        CameraSource("7", SourceOptions(), lambda _: FakeCamera(lasts=0))


def test_a_driver_that_hangs_is_given_up() -> None:
    class Stuck(FakeCamera):
        def read(self) -> tuple[bool, np.ndarray | None]:
            time.sleep(4)
            return False, None

    begun = time.monotonic()
    with pytest.raises(SourceOpenError, match="did not answer"):
        CameraSource("0", SourceOptions(open_timeout=0.3), lambda _: Stuck())
    assert time.monotonic() - begun < 3


def test_pauses_double_up_to_a_limit() -> None:
    class Told(threading.Event):
        waited: list[float]

        def wait(self, timeout: float | None = None) -> bool:
            self.waited = [*getattr(self, "waited", []), timeout or 0.0]
            return False

    stopped = Told()
    backoff = Backoff(stopped)
    assert all(backoff.wait() for _ in range(7))
    assert stopped.waited == [0.5, 1, 2, 4, 8, 10, 10]
    backoff.reset()
    backoff.wait()
    assert stopped.waited[-1] == 0.5


def test_a_pacer_catches_up() -> None:
    pacer = Pacer(threading.Event())
    assert pacer.wait(Fraction(0))
    time.sleep(0.8)
    begun = time.monotonic()
    assert all(pacer.wait(Fraction(i, 10)) for i in range(9))
    assert time.monotonic() - begun < 0.5


def test_a_pacer_goes_on_after_a_pause_without_rushing() -> None:
    pacer = Pacer(threading.Event())
    assert pacer.wait(Fraction(0))
    time.sleep(1.3)
    assert pacer.wait(Fraction(1, 10))
    begun = time.monotonic()
    assert pacer.wait(Fraction(5, 10))
    assert time.monotonic() - begun > 0.3
