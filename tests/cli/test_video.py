"""`fastinst-rt video` from its arguments to its files and exit codes, with a network that sleeps."""

import json
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner, Result

from fastinst_rt.backends.base import EngineInfo
from fastinst_rt.cli import app
from fastinst_rt.segmenter import Segmenter
from tests.video.servers import serving

from . import sleeping_cli
from .sleeping_cli import SleepingSegmenter

SLEEPING_CLI = Path(sleeping_cli.__file__)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> SleepingSegmenter:
    network = SleepingSegmenter()
    monkeypatch.setattr(Segmenter, "from_pretrained", lambda *_, **__: network)
    return network


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """40 frames, 160x120, 30000/1001 frames a second, with a tone."""
    path = tmp_path / "a clip ü.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=Fraction(30000, 1001), options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        audio = out.add_stream("aac", rate=44100, layout="mono")
        for _ in range(40):
            out.mux(video.encode(av.VideoFrame(160, 120, "yuv420p")))
        out.mux(video.encode(None))
        for number in range(50):
            sound = av.AudioFrame("fltp", "mono", 1024)
            sound.planes[0].update(bytes(4096))
            sound.sample_rate, sound.pts, sound.time_base = 44100, 1024 * number, Fraction(1, 44100)
            out.mux(audio.encode(sound))
        out.mux(audio.encode(None))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["video", *map(str, arguments)])


def times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def test_all_outputs_of_one_clip(network: SleepingSegmenter, clip: Path, tmp_path: Path) -> None:
    out, lines, masks, matte = tmp_path / "out.mp4", tmp_path / "out.jsonl", tmp_path / "masks", tmp_path / "m.mov"
    summary = tmp_path / "summary.json"
    result = run(
        clip, "-o", out, "--json", lines, "--mask-dir", masks, "--matte", matte, "--json-summary", summary
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert times(out) == times(clip)
    assert len(lines.read_text().splitlines()) == 41
    assert len(list(masks.glob("*.png"))) == 40
    assert len(times(matte)) == 40
    with av.open(str(out)) as container:
        assert len(container.streams.audio) == 1
    told = json.loads(summary.read_text())
    assert (told["outcome"], told["frames_in"], told["frames_out"], told["drops"]) == ("complete", 40, 40, {})
    assert told["outputs"] == [str(out), str(lines), str(masks), str(matte)]
    assert set(told["stages"]["infer"]) == {"frames", "total", "mean", "p50", "p95", "maximum"}
    assert network.prepared == (120, 160)
    assert "40 of 40 frames" in result.output


def test_an_engine_that_stands_in_is_told_before_the_frames_and_after(
    network: SleepingSegmenter, clip: Path, tmp_path: Path
) -> None:
    summary = tmp_path / "summary.json"
    network.info = EngineInfo("slow", "m", "fp32", "cpu", 1, (1, 1), (32, 32), passed_over=("not fast: [it] broke",))
    result = run(clip, "-o", tmp_path / "out.mp4", "--json-summary", summary)
    assert result.exit_code == 0, result.output
    before, after = result.output.split("40 of 40 frames")
    for text in (before, after):
        assert "note: slow fp32 on cpu is a makeshift" in text
        assert "not fast: [it] broke" in text
    assert network.info.note in json.loads(summary.read_text())["warnings"]


def test_options_reach_the_pipeline(network: SleepingSegmenter, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    result = run(
        clip, "-o", out, "--no-audio", "--every", 4, "--start", 0.3, "--end", 0.9, "--quiet", "--codec", "hevc"
    )
    assert result.exit_code == 0, result.output
    assert result.output == ""
    with av.open(str(out)) as container:
        assert not container.streams.audio
        assert container.streams.video[0].codec_context.name == "hevc"
    kept = [t for t in times(clip) if 0.3 <= t < 0.9]
    assert len(times(out)) == len(kept)
    assert network.calls == -(-len(kept) // 4)


@pytest.mark.usefixtures("network")
def test_folder_with_a_bad_file_does_the_others(clip: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    bad = "2 [dQw4w9WgXcQ].mp4"
    for name in ("1.mp4", bad, "10.mp4"):
        (folder / name).write_bytes(clip.read_bytes())
    (folder / bad).write_text("this is no video")
    result = run(folder, "-o", out)
    assert result.exit_code == 3
    assert sorted(path.name for path in out.iterdir()) == ["1.mp4", "10.mp4"]
    for start in ("failed ", "error: "):
        (line,) = [line for line in result.output.splitlines() if line.startswith(start)]
        assert bad in line


def test_resume_skips_what_is_complete_and_redoes_what_is_not(
    network: SleepingSegmenter, clip: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (folder / name).write_bytes(clip.read_bytes())
    network._fail_at = 60  # in the middle of b
    assert run(folder, "-o", out).exit_code == 5
    assert len(times(out / "b.mp4")) == 20
    network._fail_at, network.calls = -1, 0
    result = run(folder, "-o", out, "--resume")
    assert result.exit_code == 0, result.output
    assert network.calls == 40
    assert len(times(out / "b.mp4")) == 40
    assert "a.mp4: complete, skipped" in result.output
    network.calls = 0
    assert run(folder, "-o", out, "--resume").exit_code == 0
    assert network.calls == 0


def test_resume_knows_unfinished_lines(network: SleepingSegmenter, clip: Path, tmp_path: Path) -> None:
    lines = tmp_path / "out.jsonl"
    network._fail_at = 20
    assert run(clip, "--json", lines).exit_code == 5
    network._fail_at, network.calls = -1, 0
    for calls in (40, 40):  # the second time there is nothing left to do
        assert run(clip, "--json", lines, "--resume").exit_code == 0
        assert network.calls == calls


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "Nothing is to be written"),
        (("-o", "{clip}"), 2, "both input and output"),
        (("-o", "{tmp}/missing/out.mp4"), 6, "missing"),
        (("-o", "{tmp}/out.xyz"), 2, "out.xyz"),
        (("-o", "{tmp}/o.mp4", "--start", "2", "--end", "1"), 2, "--end"),
        (("-o", "{tmp}/o.mp4", "--start", "100"), 2, "--start"),
        (("{tmp}/gone.mp4", "-o", "{tmp}/o.mp4"), 3, "gone.mp4"),
        (("{tmp}/empty", "-o", "{tmp}/out"), 3, "no video"),
        (("test:64x64,frames=3", "-o", "{tmp}/o.mp4"), 2, "one file"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(
    clip: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    (tmp_path / "empty").mkdir()
    before = clip.read_bytes()
    result = run(clip, *(text.format(clip=clip, tmp=tmp_path) for text in arguments))
    assert result.exit_code == code, result.output
    assert says in result.output
    assert "Traceback" not in result.output
    assert clip.read_bytes() == before
    assert not list(tmp_path.glob(".*part*"))


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("{tmp}/gone.mp4", "-o", "{tmp}/o.mp4"), 3),
        (("{tmp}/text.mp4", "-o", "{tmp}/o.mp4"), 3),
        (("test:64x64,frames=3", "-o", "{tmp}/o.xyz"), 2),
        (("http://u:gehe/im@127.0.0.1:9/in.mp4?token=abc", "-o", "{tmp}/o.mp4"), 3),
    ],
)
def test_verbose_adds_the_traceback_without_secrets_and_keeps_the_code(
    tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    (tmp_path / "text.mp4").write_text("this is no video")
    result = run(*(text.format(tmp=tmp_path) for text in arguments), "--verbose")
    assert result.exit_code == code, result.output
    assert result.output.startswith("Traceback (most recent call last)")
    assert "error: " in result.output
    assert "gehe" not in result.output
    assert "abc" not in result.output


@pytest.mark.usefixtures("network")
def test_secrets_of_urls_are_neither_shown_nor_written(clip: Path, tmp_path: Path) -> None:
    out, summary = tmp_path / "out", tmp_path / "summary.json"
    with serving(clip.read_bytes()) as server:
        url = f"http://admin:hunter2@{server.address}/in.mp4?token=abc"
        arguments = (url, "-o", out, "--json", out, "--mask-dir", out, "--no-audio", "--json-summary", summary)
        told = [run(*arguments), run(*arguments, "--resume")]
    assert [result.exit_code for result in told] == [0, 0], told[0].output
    assert "complete, skipped" in told[1].output
    texts = [*(result.output for result in told), summary.read_text(), *(path.name for path in out.iterdir())]
    texts += [path.read_text() for path in out.glob("*.jsonl")]
    assert not any(secret in text for text in texts for secret in ("hunter2", "admin", "abc"))


@pytest.mark.usefixtures("network")
def test_two_inputs_of_one_name_are_refused(clip: Path, tmp_path: Path) -> None:
    copies = []
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        copies.append(tmp_path / folder / "same.mp4")
        copies[-1].write_bytes(clip.read_bytes())
    result = run(*copies, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "same.mp4" in result.output


def test_network_that_fails_leaves_a_playable_output(network: SleepingSegmenter, clip: Path, tmp_path: Path) -> None:
    network._fail_at = 37
    result = run(clip, "-o", tmp_path / "out.mp4")
    assert result.exit_code == 5
    assert "failed on frame 37: RuntimeError: out of memory" in result.output
    assert times(tmp_path / "out.mp4") == times(clip)[:37]


def start(tmp_path: Path, seconds: float) -> tuple[subprocess.Popen[str], Path]:
    """A run in a process of its own that has written some of its output."""
    out = tmp_path / "out.mp4"
    command = [sys.executable, str(SLEEPING_CLI), str(seconds), "-1"]
    command += ["video", "test:160x120@25,frames=4000", "-o", str(out), "--crf", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    part = out.with_name(".out.part.mp4")
    while not (part.exists() and part.stat().st_size > 20_000):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    return process, out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_a_finished_file(tmp_path: Path, number: signal.Signals) -> None:
    process, out = start(tmp_path, 0.01)
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in told
    assert "Traceback" not in told
    assert 0 < len(times(out)) < 4000
    assert not out.with_name(".out.part.mp4").exists()


def test_killed_run_leaves_a_playable_part(tmp_path: Path) -> None:
    process, out = start(tmp_path, 0.01)
    process.kill()
    process.communicate(timeout=30)
    assert not out.exists()
    assert len(times(out.with_name(".out.part.mp4"))) > 0


def test_stdin_to_file(clip: Path, tmp_path: Path) -> None:
    whole = tmp_path / "stream.mkv"
    with av.open(str(clip)) as source, av.open(str(whole), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    command = [sys.executable, str(SLEEPING_CLI), "0", "-1", "video", "-", "-o", str(tmp_path / "out.mp4"), "-q"]
    done = subprocess.run(command, input=whole.read_bytes(), timeout=60, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len(times(tmp_path / "out.mp4")) == 40
