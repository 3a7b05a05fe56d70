"""Sound outlives the connection that brought it, and nobody reaches into a container that is closed."""

import gc
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

from av.packet import Packet

from fastinst_rt.video.passengers import Passengers
from fastinst_rt.video.reader import Reader
from fastinst_rt.video.sources import SourceOptions, open_source
from fastinst_rt.video.video_sink import VideoSink

from .clips import content, make_clip
from .servers import serving

# In processes of their own: what reaches into a closed container ends with a segmentation fault.
RECORD_ACROSS_A_LOSS = """
import sys
from pathlib import Path
from fastinst_rt.video.sources import SourceOptions, open_source
from fastinst_rt.video.video_sink import VideoSink
source = open_source(sys.argv[1], SourceOptions(live=True))
before, after, count = VideoSink(Path(sys.argv[2]), source), None, 0
for frame in source.frames():
    before.write(frame, None, None)
    if source.outages:
        after = after or VideoSink(Path(sys.argv[3]), source)
        after.write(frame, None, None)
        count += 1
    if count == 10:
        break
source.stop()
before.close()
after.close()
source.close()
print(after.notes)
"""

WRITE_WHEN_ALL_IS_READ = """
import sys
from pathlib import Path
from fastinst_rt.video.sources import open_source
from fastinst_rt.video.video_sink import VideoSink
source = open_source("-")
sink = VideoSink(Path(sys.argv[1]), source)
for frame in list(source.frames()):
    sink.write(frame, None, None)
sink.close()
source.close()
"""


def test_recordings_before_and_after_a_stream_was_lost(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.ts", pts=tuple(range(30)), channels=2)
    before, after = tmp_path / "before.mp4", tmp_path / "after.mp4"
    with serving(clip.read_bytes(), "unsized") as server:
        url = f"http://{server.address}/live.ts"
        done = subprocess.run(
            [sys.executable, "-c", RECORD_ACROSS_A_LOSS, url, str(before), str(after)],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "after.mp4 has no sound: that of the source has ended." in done.stdout
    assert (len(content(before).times), len(content(after).times)) == (40, 10)
    headless = [packet[7:] for packet in content(clip).packets["audio"][0]]
    recorded = content(before).packets["audio"][0]
    assert len(recorded) > len(headless) - 4  # without what sounds before the first picture
    assert recorded == headless[-len(recorded) :]
    assert content(after).packets["audio"] == []


def test_lost_connections_leave_memory(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.ts", pts=tuple(range(10)), channels=2)
    with serving(clip.read_bytes(), "unsized") as server:
        source = open_source(f"http://{server.address}/live.ts", SourceOptions(live=True))
        gc.collect()
        gc.disable()  # a reader in a reference cycle would stay, with its decoder and pictures
        try:
            next(frame for frame in source.frames() if source.outages == 2)
            alive = sum(isinstance(thing, Reader) for thing in gc.get_objects())
        finally:
            gc.enable()
        source.stop()
        source.close()
    assert alive == 1


def test_broadcast_sound_is_written_after_its_source_was_read_to_the_end(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "in.ts", pts=tuple(range(5)), channels=2)
    with clip.open("rb") as data:
        done = subprocess.run(
            [sys.executable, "-c", WRITE_WHEN_ALL_IS_READ, str(tmp_path / "out.mp4")],
            stdin=data, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    headless = [packet[7:] for packet in content(clip).packets["audio"][0]]
    assert content(tmp_path / "out.mp4").packets["audio"][0] == headless


def test_nobody_boards_when_the_source_is_closed(tmp_path: Path) -> None:
    source = open_source(make_clip(tmp_path / "in.mp4", channels=2))
    source.close()
    assert source.passengers is not None
    assert source.passengers.streams == source.passengers.others == ()
    sink = VideoSink(tmp_path / "out.mp4", source)
    sink.abort()
    assert "out.mp4 has no sound: that of the source has ended." in sink.notes


def test_a_closed_source_keeps_packets_only_for_who_is_on_board() -> None:
    alone, with_sink = Passengers(()), Passengers(())
    with with_sink.boarding() as on_board:
        assert on_board
    for passengers in (alone, with_sink):
        passengers.put(Packet(1), Fraction(0))
        passengers.close()
        passengers.put(Packet(1), Fraction(1))
        with passengers.boarding() as on_board:
            assert not on_board
    assert (len(alone.take(None)), len(with_sink.take(None))) == (0, 1)
