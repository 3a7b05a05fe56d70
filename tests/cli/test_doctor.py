"""`doctor` names every backend, and gives a remedy for whatever cannot run."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fastinst_rt.backends import diagnosis
from fastinst_rt.backends.base import Obstacle
from fastinst_rt.backends.registry import BACKENDS
from fastinst_rt.cli import app
from tests.backends.tiny import FakeBackend

run = CliRunner(env={"COLUMNS": "200"})


def _report(folder: Path) -> dict[str, list[dict[str, object]]]:
    result = run.invoke(app, ["doctor", "--json", "--engine-dir", str(folder)])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_backend_is_judged(tmp_path: Path) -> None:
    names = [str(finding["name"]) for finding in _report(tmp_path)["backends"]]
    for backend in (*BACKENDS, "eager"):
        assert any(name.startswith(f"{backend} on ") for name in names)
    eager = next(finding for finding in _report(tmp_path)["backends"] if finding["name"] == "eager on cpu")
    assert eager["good"]
    assert eager["detail"] == "fp32"


def test_what_cannot_run_has_one_remedy(tmp_path: Path) -> None:
    for finding in _report(tmp_path)["backends"]:
        if not finding["good"]:
            assert finding["detail"]
            assert str(finding["remedy"]).endswith(".")


def test_obstacles_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeBackend()
    monkeypatch.setitem(BACKENDS, "fake", fake)
    assert "fp32, int8" in run.invoke(app, ["doctor"]).stdout
    fake.missing = Obstacle("fake is not installed", "Install it.")
    result = run.invoke(app, ["doctor", "--engine-dir", str(tmp_path)])
    assert "fake is not installed" in result.stdout
    assert "Install it." in result.stdout


def test_a_disk_that_is_nearly_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_ROOM", 1 << 62)
    (engines,) = [finding for finding in _report(tmp_path)["files"] if finding["name"] == "engines"]
    assert not engines["good"]
    assert "prune" in str(engines["remedy"])


def test_nothing_is_written(tmp_path: Path) -> None:
    _report(tmp_path / "engines")
    assert not (tmp_path / "engines").exists()
