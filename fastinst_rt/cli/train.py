"""`fastinst-rt train`: a training run from a configuration."""

from pathlib import Path
from typing import Annotated

import typer

from fastinst_rt.cli import options

_EXAMPLES = """
[bold]Examples[/]

  fastinst-rt train coco --annotations instances_train2017.json --images train2017/ -o runs/d1

  fastinst-rt train mine.toml -o runs/mine --resume

  torchrun --nproc-per-node 8 --no-python fastinst-rt train cityscapes --root cityscapes/ -o runs/city
"""


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command("train", epilog=_EXAMPLES)(train)


def train(
    config: Annotated[str, typer.Argument(help="TOML file, or a bundled recipe: coco, cityscapes, nano.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for checkpoint, log and weights.")] = Path(
        "runs/train"
    ),
    annotations: Annotated[Path | None, typer.Option(help="Replaces data.annotations.")] = None,
    images: Annotated[Path | None, typer.Option(help="Replaces data.images.")] = None,
    root: Annotated[Path | None, typer.Option(help="Replaces data.root (Cityscapes).")] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Replaces schedule.iterations.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the folder's checkpoint.")] = False,
    device: options.Device = "auto",
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001 - read by the error handler
) -> None:
    """Train a network; under [b]torchrun[/] on many GPUs."""
    from fastinst_rt.training.command import train_from_config

    places = {"annotations": annotations, "images": images, "root": root}
    overrides: dict[str, dict[str, object]] = {"data": {k: str(v) for k, v in places.items() if v is not None}}
    if iterations is not None:
        overrides["schedule"] = {"iterations": iterations}
    train_from_config(config, output, overrides, resume=resume, device=device, quiet=quiet)
