"""`fastinst-rt eval`: the report a user sees, the JSON, and the exit codes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fastinst_rt.backends.base import EngineInfo
from fastinst_rt.cli import app


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    annotation = {
        "id": 1,
        "image_id": 1,
        "category_id": 17,
        "iscrowd": 0,
        "area": 200,
        "segmentation": [[0, 0, 20, 0, 0, 20]],
    }
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 30} for i in (1, 2)],
        "annotations": [annotation],
        "categories": [{"id": 17, "name": "cat"}],
    }
    for i in (1, 2):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.zeros((30, 40, 3), np.uint8))
    (tmp_path / "labels.json").write_text(json.dumps(content))
    return tmp_path / "labels.json"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["eval", "--model", "fastinst-d1-r50", *map(str, arguments)])


@pytest.mark.parametrize("path", ["exact", "fast"])
def test_instances(labels: Path, narrow_weights: Path, tmp_path: Path, path: str) -> None:
    out = tmp_path / "ap.json"
    result = run("--weights", narrow_weights, "--data", labels, "--images", tmp_path, f"--{path}", "--json", out)
    assert result.exit_code == 0, result.output
    assert "cat" in result.stdout
    assert f"engine eager fp32 on cpu, {path} masks" in result.stderr
    content = json.loads(out.read_text())
    assert content["images"] == 2
    assert content["settings"]["masks"] == path
    [cat] = content["classes"]
    assert (cat["name"], cat["count"], cat["AP"]) == ("cat", 1, content["figures"]["AP"])
    quiet = run("--weights", narrow_weights, "--data", labels, "--images", tmp_path, "--limit", 1, "--quiet")
    assert quiet.stderr == ""
    assert "first 1 of 2 pictures" in quiet.stdout


def test_an_engine_that_stands_in_is_told(
    labels: Path, narrow_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EngineInfo, "note", property(lambda info: f"{info.name} is a makeshift"))
    result = run("--weights", narrow_weights, "--data", labels, "--images", tmp_path)
    assert result.exit_code == 0, result.output
    assert "note: eager fp32 on cpu is a makeshift" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--data", "nowhere.json", "--images", "."), 3, "nowhere.json cannot be read"),
        (("--data", "nowhere.json"), 2, "does not say where its pictures are"),
        (("--data", "x.json", "--task", "clip"), 2, "does not say where its clip is"),
        (("--data", "x.json", "--task", "nonsense"), 2, "nonsense"),
    ],
)
def test_mistakes_are_sentences(narrow_weights: Path, arguments: tuple[str, ...], code: int, text: str) -> None:
    result = run("--weights", narrow_weights, *arguments)
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert "Traceback" not in result.output


def test_help_shows_examples() -> None:
    assert "fastinst-rt eval --task cityscapes" in run("--help").stdout
