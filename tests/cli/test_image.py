"""`fastinst-rt image` and `fastinst-rt models` from arguments to files and exit codes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fastinst_rt.backends.base import EngineInfo
from fastinst_rt.cli import app
from fastinst_rt.models.zoo import list_models
from fastinst_rt.pictures import read_picture
from fastinst_rt.rle import decode

ROOT = Path(__file__).parents[2]
RANDOM_NANO = ["--weights", "random", "--backend", "eager", "--short-side", "96", "--max-side", "128"]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "photo.jpg"
    Image.fromarray(cv2.resize(rng.integers(0, 255, (6, 8, 3), np.uint8), (160, 120))).save(path)
    return path


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_picture_json_and_masks(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, _, said = run(
        "image", photo, "-o", out, "--json", tmp_path / "a.jsonl", "--mask-dir", tmp_path / "masks",
        "--json-summary", tmp_path / "s.json", "--score", 0.0, "--max-instances", 5, *RANDOM_NANO,
    )  # fmt: skip
    assert code == 0, said
    assert "1 pictures" in said
    assert read_picture(out / "photo.jpg").shape == (120, 160, 3)
    record = json.loads((tmp_path / "a.jsonl").read_text())
    assert (record["width"], record["height"]) == (160, 120)
    assert 1 <= len(record["instances"]) <= 5
    labels = cv2.imread(str(tmp_path / "masks" / "photo.jpg.png"), cv2.IMREAD_UNCHANGED)
    covered = np.logical_or.reduce([decode(i["segmentation"]) for i in record["instances"]])
    np.testing.assert_array_equal(labels > 0, covered)
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["instances"] == len(record["instances"])
    assert summary["engine"] == "eager fp32 on cpu"


def test_an_engine_that_stands_in_is_told(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EngineInfo, "note", property(lambda info: f"{info.name} is a makeshift (not fast: [it] broke)"))
    code, _, said = run("image", photo, "-o", tmp_path / "out", *RANDOM_NANO)
    assert code == 0, said
    assert "note: eager fp32 on cpu is a makeshift (not fast: [it] broke)" in said


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["missing.jpg"], 3, "missing.jpg"),
        (["text.jpg"], 3, "not a picture"),
        (["photo.jpg", "--weights", "missing.safetensors"], 7, "missing.safetensors"),
        (["photo.jpg", "--classes", "persn"], 2, "persn"),
        (["photo.jpg", "--model", "fastinst-d9"], 2, "fastinst-d9"),
        (["photo.jpg", "--model", "[/d9]"], 2, "[/d9]"),
        (["photo.jpg", "-o", "photo.jpg"], 2, "the input itself"),
        (["photo.jpg", "-o", "text.jpg/below"], 6, "cannot be made"),
    ],
)
@pytest.mark.usefixtures("photo")
def test_errors_are_two_sentences_and_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("no picture")
    got, _, said = run("image", "-o", "out", *RANDOM_NANO, *arguments)
    assert got == code, said
    lines = said.strip().splitlines()
    assert lines[0].startswith("error: ")
    assert problem in said
    assert "Traceback" not in said
    assert lines[-1].endswith((".", "?", ")."))


@pytest.mark.usefixtures("photo")
def test_one_bad_picture_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "a-text.jpg").write_text("no picture")
    code, _, said = run("image", tmp_path, "-o", tmp_path / "out", *RANDOM_NANO)
    assert code == 3
    assert "1 of 2 pictures" in said
    assert (tmp_path / "out" / "photo.jpg").exists()


def test_models_as_json() -> None:
    code, out, _ = run("models", "--json")
    assert code == 0
    assert [row["name"] for row in json.loads(out)] == list_models()


def test_help_does_not_wait_for_torch() -> None:
    script = (
        "import sys; from fastinst_rt.cli import app; assert not {'torch', 'numpy', 'cv2', 'av'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    durations = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "cli.py", "--help"], cwd=ROOT, check=True, capture_output=True)
        durations.append(time.perf_counter() - start)
    assert min(durations) < 2  # 0.15 s on an idle machine; the bound is for a busy one
