"""`fastinst-rt live` without a window."""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import av
import pytest
from typer.testing import CliRunner, Result

from fastinst_rt.backends.base import EngineInfo
from fastinst_rt.cli import app
from fastinst_rt.segmenter import Segmenter

from . import sleeping_cli
from .sleeping_cli import SleepingSegmenter


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> SleepingSegmenter:
    network = SleepingSegmenter(0.05)
    monkeypatch.setattr(Segmenter, "from_pretrained", lambda *_, **__: network)
    return network


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["live", *map(str, arguments)])


def test_freshest_by_default_and_every_drop_is_counted(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    result = run("test:320x240@60", "--no-window", "--seconds", 1.5, "--json-summary", summary)
    assert result.exit_code == 0, result.output
    told = json.loads(summary.read_text())
    assert told["policy"] == "freshest"
    assert told["drops"]["replaced"] > 20
    assert told["frames_in"] == told["frames_out"] + sum(told["drops"].values())
    assert told["age"]["p95"] < 0.2


def test_an_engine_that_stands_in_is_told(network: SleepingSegmenter) -> None:
    network.info = EngineInfo("slow", "m", "fp32", "cpu", 1, (1, 1), (32, 32), passed_over=("not fast: broken",))
    result = run("test:320x240@60", "--no-window", "--frames", 3)
    assert result.exit_code == 0, result.output
    assert result.output.count("note: slow fp32 on cpu is a makeshift") == 2


def test_policy_every_records_all_frames(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    result = run("test:320x240@60", "--no-window", "--policy", "every", "--frames", 30, "--record", out)
    assert result.exit_code == 0, result.output
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 30


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("test:320x240@30", "--no-window", "--serve", "here"), 2, "no address"),
        (("test:banana", "--no-window"), 2, "test:banana"),
        (("test:", "--no-window", "--size", "big"), 2, "no size"),
        (("gone.mp4", "--no-window"), 3, "gone.mp4"),
        (("97", "--no-window"), 3, "97"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(arguments: tuple[str, ...], code: int, says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert says in result.output


def test_web_page(tmp_path: Path) -> None:
    command = [sys.executable, sleeping_cli.__file__, "0.01", "-1"]
    command += ["live", "test:320x240@30", "--no-window", "--serve", "0", "--record", str(tmp_path / "out.mp4")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    url = ""
    while "http" not in url:
        url = process.stderr.readline()
        assert url, "no page was announced"
    address = url.split()[-1]
    deadline = time.monotonic() + 20
    while not json.load(urllib.request.urlopen(f"{address}stats.json"))["frames_out"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert urllib.request.urlopen(f"{address}snapshot.jpg").read(2) == b"\xff\xd8"
    process.terminate()
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130, told
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) > 0
