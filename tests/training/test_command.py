"""`fastinst-rt train`: from a configuration to a weight file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fastinst_rt.cli import app
from fastinst_rt.training.command import WEIGHTS, train_from_config
from fastinst_rt.weights.store import read_metadata
from tests.training.scenes import write_coco

CONFIG = """
[model]
name = "fastinst-nano"
freeze = ["backbone."]
[data]
format = "coco"
[augmentation]
recipe = "jitter"
sizes = [[64, 64]]
[loss]
num_points = 64
[schedule]
iterations = 2
[run]
batch = 1
workers = 0
"""


@pytest.fixture
def config(tmp_path: Path) -> tuple[Path, Path]:
    annotations = write_coco(tmp_path / "data", 2, (64, 64))
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path, annotations


def test_train_writes_weights_with_the_classes_of_the_data(config: tuple[Path, Path], tmp_path: Path) -> None:
    path, annotations = config
    arguments = ["train", str(path), "-o", str(tmp_path / "run"), "--device", "cpu", "--quiet"]
    arguments += ["--annotations", str(annotations), "--images", str(annotations.parent)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    metadata = read_metadata(tmp_path / "run" / WEIGHTS)
    assert metadata.spec.categories.names == ("disc", "box", "triangle")
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2
    assert "already holds a run" in again.output


def test_a_longer_schedule_goes_on(config: tuple[Path, Path], tmp_path: Path) -> None:
    path, annotations = config
    data = {"data": {"annotations": str(annotations), "images": str(annotations.parent)}}
    where = {"resume": True, "device": "cpu", "quiet": True}
    train_from_config(str(path), tmp_path / "run", {**data, "schedule": {"iterations": 1}}, **where)  # type: ignore[arg-type]
    train_from_config(str(path), tmp_path / "run", data, **where)  # type: ignore[arg-type]
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert len(rows) == 3


def test_data_that_is_not_named_is_a_usage_error(config: tuple[Path, Path], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", str(config[0]), "-o", str(tmp_path / "run"), "--quiet"])
    assert result.exit_code == 2
    assert "data.annotations" in result.output


@pytest.mark.slow
def test_two_processes_under_torchrun_share_the_batch(config: tuple[Path, Path], tmp_path: Path) -> None:
    path, annotations = config
    path.write_text(CONFIG.replace("batch = 1", "batch = 2"))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [str(Path(__file__).parents[2] / "cli.py"), "train", str(path), "-o", str(tmp_path / "run"), "--quiet"]
    places = ["--annotations", str(annotations), "--images", str(annotations.parent), "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launcher, *command, *places], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "run" / "log.csv").read_text().splitlines()) == 2
    assert (tmp_path / "run" / WEIGHTS).exists()
