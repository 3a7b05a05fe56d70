"""Configurations: bundled ones are whole, mistakes are named."""

from pathlib import Path

import pytest

from fastinst_rt.errors import UsageError
from fastinst_rt.training.config import BUNDLED, load_config

MINIMAL = """
[model]
name = "fastinst-d1-r50"
[data]
format = "coco"
annotations = "a.json"
images = "images"
[augmentation]
recipe = "coco"
[schedule]
iterations = 10
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", [path.stem for path in sorted(BUNDLED.glob("*.toml"))])
def test_bundled_configurations_are_whole(name: str) -> None:
    assert load_config(name).schedule.iterations > 0


def test_coco_is_the_published_recipe() -> None:
    config = load_config("coco")
    assert (config.optimizer.lr, config.optimizer.backbone_factor, config.optimizer.weight_decay) == (1e-4, 0.1, 0.05)
    assert (config.run.batch, config.schedule.iterations, config.schedule.drop_at) == (16, 368750, (327778, 355092))
    assert config.loss.num_points == 12544


def test_defaults_fill_in(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))
    assert config.loss.gt_mask_guidance
    assert config.data.annotations == Path("a.json")


def test_overrides_replace_values(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL), {"schedule": {"iterations": 7}, "data": {"images": "there"}})
    assert config.schedule.iterations == 7
    assert config.data.images == Path("there")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (MINIMAL + "[loss]\nlocation_costs = false", "loss.location_costs"),
        (MINIMAL + "[los]\na = 1", "los"),
        (MINIMAL + '[run]\nbatch = "16"', "run.batch"),
        (MINIMAL + "[run]\nbatch = true", "run.batch"),
        (MINIMAL + '[run]\namp = "half"', "run.amp"),
        (MINIMAL + "[run]\naccumulate = 0", "run.accumulate"),
        (MINIMAL + "[run]\nlog_every = 0", "run.log_every"),
        (MINIMAL + "[run]\nseed = -1", "run.seed"),
        (MINIMAL + "[loss]\nlocation_cost = 1", "loss.location_cost"),
        (MINIMAL.replace('name = "fastinst-d1-r50"', ""), "model"),
        (MINIMAL.replace("iterations = 10", "iterations = 10\ndrop_at = 5"), "schedule.drop_at"),
        ("[model", "not TOML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(UsageError) as error:
        load_config(write(tmp_path, text))
    assert named in error.value.problem


def test_missing_file_lists_the_bundled_ones() -> None:
    with pytest.raises(UsageError) as error:
        load_config("nothing")
    assert "coco" in error.value.remedy
