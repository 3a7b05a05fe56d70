"""A whole training run as the command line starts it: build, train with a progress display, store the weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fastinst_rt.errors import UsageError
from fastinst_rt.training.build import make_net, make_source, make_stream
from fastinst_rt.training.config import load_config
from fastinst_rt.training.journal import CHECKPOINT
from fastinst_rt.training.trainer import Process, Trainer
from fastinst_rt.weights.store import save_weights

WEIGHTS = "weights.safetensors"


def train_from_config(
    name: str,
    folder: Path,
    overrides: Mapping[str, Mapping[str, Any]],
    *,
    resume: bool,
    device: str,
    quiet: bool,
) -> Path:
    """Run a configuration to its end.

    Args:
        name: a TOML file or a bundled configuration.
        folder: where checkpoint, log and weights go.
        overrides: values by section that replace those of the file.
        resume: go on from the folder's checkpoint.
        device: "auto", "cpu", "cuda" or "cuda:N".
        quiet: no progress display.

    Returns:
        the file of the final weights (the averaged ones where an average is kept).

    Raises:
        UsageError: the configuration is wrong, or the folder holds a run and `resume` was not given.
    """
    config = load_config(name, overrides)
    if not resume and (folder / CHECKPOINT).exists():
        raise UsageError(
            f"The folder {folder} already holds a run.", "Give --resume to go on with it, or another --output."
        )
    process = Process.join(device)
    torch.manual_seed(config.run.seed)
    source = make_source(config.data)
    net = make_net(config.model, source.categories)
    trainer = Trainer(config, net, make_stream(config, source), folder, process, resume=resume)
    _run(trainer, quiet=quiet or process.rank > 0)
    path = folder / WEIGHTS
    if process.rank == 0:
        net.load_state_dict(trainer.weights)
        save_weights(net.eval(), path, {"provenance": f"trained with {name}, {trainer.iteration} iterations"})
    if process.world > 1:
        torch.distributed.destroy_process_group()
    return path


def _run(trainer: Trainer, *, quiet: bool) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task(
            "training", total=trainer.config.schedule.iterations, completed=trainer.iteration, figures=""
        )

        def report(figures: dict[str, float]) -> None:
            text = f"loss {figures['total']:.2f}  lr {figures['lr']:.1e}  {figures['seconds']:.2f} s"
            progress.update(task, completed=figures["iteration"] + 1, figures=text)

        trainer.run(report)
