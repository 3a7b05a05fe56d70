"""An interrupted and resumed run is the run that was not interrupted, bit for bit; so is one in parts, nearly."""

import csv
from pathlib import Path

import pytest
import torch

from fastinst_rt.errors import OutputError, UsageError, WeightsError
from fastinst_rt.training.build import make_source, make_stream
from fastinst_rt.training.config import RunConfig, TrainConfig
from fastinst_rt.training.journal import CHECKPOINT
from fastinst_rt.training.trainer import Process, Trainer
from tests.training.scenes import write_coco
from tests.training.tiny import coco_data, tiny_config, tiny_net

CPU = Process(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def annotations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("data"), 5, (64, 64))


def start(config: TrainConfig, folder: Path, *, resume: bool = False) -> Trainer:
    source = make_source(config.data)
    torch.manual_seed(3)
    net = tiny_net(source.categories, width=32)
    return Trainer(config, net, make_stream(config, source), folder, CPU, resume=resume)


def losses(folder: Path) -> list[dict[str, str]]:
    """Rows of the log without the times."""
    with (folder / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_resume_is_bit_equal(annotations: Path, tmp_path: Path) -> None:
    config = tiny_config(coco_data(annotations), 4, batch=2)
    whole = start(config, tmp_path / "whole")
    whole.run()
    start(config, tmp_path / "parts").run(stop=2)
    resumed = start(config, tmp_path / "parts", resume=True)
    assert resumed.iteration == 2
    resumed.run()
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "whole")) == 4
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, resumed.net.state_dict()[name]), name
    for name, value in whole.weights.items():
        assert torch.equal(value, resumed.weights[name]), name


def test_rows_after_the_checkpoint_are_dropped(annotations: Path, tmp_path: Path) -> None:
    config = tiny_config(coco_data(annotations), 3, batch=1)
    first = start(config, tmp_path)
    first.run(stop=1)
    kept = (tmp_path / CHECKPOINT).read_bytes()
    first.run(stop=3)
    (tmp_path / CHECKPOINT).write_bytes(kept)  # as if the machine went down before the next checkpoint
    start(config, tmp_path, resume=True).run()
    assert [row["iteration"] for row in losses(tmp_path)] == ["0", "1", "2"]


def test_a_damaged_checkpoint_is_named(annotations: Path, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match=CHECKPOINT):
        start(tiny_config(coco_data(annotations), 1, batch=1), tmp_path, resume=True)


def test_accumulation_sees_the_same_pictures(annotations: Path, tmp_path: Path) -> None:
    config = tiny_config(coco_data(annotations), 1, batch=4, accumulate=2)
    trainer = start(config, tmp_path)
    seen: list[float] = []
    trainer.run(lambda figures: seen.append(figures["total"]))
    assert trainer.iteration == 1
    assert seen[0] > 0


def test_a_batch_that_cannot_be_shared_is_refused(annotations: Path, tmp_path: Path) -> None:
    config = tiny_config(coco_data(annotations), 1)
    odd = TrainConfig(
        config.model, config.data, config.augmentation, config.schedule, run=RunConfig(batch=5, accumulate=2)
    )
    with pytest.raises(UsageError, match="batch of 5"):
        start(odd, tmp_path)


def test_the_checkpoint_of_another_network_is_refused(annotations: Path, tmp_path: Path) -> None:
    config = tiny_config(coco_data(annotations), 1, batch=1)
    start(config, tmp_path).run()
    source = make_source(config.data)
    other = tiny_net(source.categories, width=64)
    with pytest.raises(WeightsError, match="not one of this network"):
        Trainer(config, other, make_stream(config, source), tmp_path, CPU, resume=True)


def test_a_file_where_the_folder_should_be_is_named(annotations: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(OutputError, match="run cannot be made"):
        start(tiny_config(coco_data(annotations), 1, batch=1), tmp_path / "run")


@pytest.mark.parametrize("device", ["cuda:99", "banana"])
def test_a_device_that_is_not_here_is_named(device: str) -> None:
    with pytest.raises(UsageError, match=device):
        Process.join(device)
