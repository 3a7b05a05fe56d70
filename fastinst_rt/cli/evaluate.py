"""`fastinst-rt eval`: accuracy on labelled data, through the engine that is asked for."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fastinst_rt.cli import options

_EXAMPLES = """
[bold]Examples[/]

  fastinst-rt eval --data instances_val2017.json --images val2017/ --json ap.json

  fastinst-rt eval --data val.json --images images/ --backend openvino --fast --limit 200

  fastinst-rt eval --task cityscapes --data cityscapes/ --model fastinst-d3-r50 --weights street.safetensors

  fastinst-rt eval --task clip --data dog.masks.json --images dog.mp4 --backend openvino --fast
"""


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command("eval", epilog=_EXAMPLES)(evaluate)


def evaluate(
    data: Annotated[
        Path, typer.Option("--data", help="COCO instances or panoptic file, folder of Cityscapes, or labels of a clip.")
    ],
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of the pictures of a COCO file, or the clip.")
    ] = None,
    task: Annotated[
        Literal["instance", "panoptic", "semantic", "cityscapes", "clip"],
        typer.Option("--task", help="Instance AP, panoptic quality, mIoU, Cityscapes AP, or IoU with a clip's object."),
    ] = "instance",
    split: Annotated[str, typer.Option("--split", help="Split of Cityscapes.")] = "val",
    exact: Annotated[
        bool, typer.Option("--exact/--fast", help="Published resize and masks, or those of the live path.")
    ] = True,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Take the first N pictures only.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON.")] = None,
    model: options.Model = options.DEFAULT_MODEL,
    weights: options.Weights = None,
    backend: options.Backend = "eager",
    precision: options.Precision = None,
    device: options.Device = "auto",
    short_side: options.ShortSide = None,
    max_side: options.MaxSide = None,
    engine_dir: options.EngineDir = None,
    allow_unverified: Annotated[
        bool, typer.Option("--allow-unverified", help="Measure an engine even if it is under the parity gate.")
    ] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001  (remembered by the option's callback)
) -> None:
    """Measure instance AP, panoptic quality, mIoU, Cityscapes AP, or how well the object of a clip is covered."""
    from dataclasses import replace

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from fastinst_rt.cli.segmenting import tell_note
    from fastinst_rt.evaluation import run
    from fastinst_rt.evaluation.engines import open_segmenter

    labels = run.open_data(task, data, images, split)  # first: a wrong path should not cost the time to build an engine
    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=quiet) as bar:
        item = bar.add_task("loading", total=None)
        with open_segmenter(
            model,
            weights=weights,
            backend=backend,
            precision=precision,
            device=device,
            short_side=short_side,
            max_side=max_side,
            engine_dir=engine_dir,
            exact=exact,
            allow_unverified=allow_unverified,
            proof=() if backend == "eager" else run.proof_pictures(labels),
            on_progress=lambda step, _: bar.update(item, description=step),
        ) as segmenter:
            report = run.evaluate(
                segmenter,
                task,
                labels,
                limit=limit,
                progress=lambda done, total: bar.update(item, description="pictures", completed=done, total=total),
            )
            engine = segmenter.engine_name
            tell_note(console, segmenter)
    path = "exact" if exact else "fast"
    report = replace(report, settings={"model": model, "engine": engine, "masks": path, "data": str(data)})
    Console().print(report.tables())
    console.print(f"model {model}, engine {engine}, {path} masks", highlight=False, markup=False)
    if json_file is not None:
        report.save(json_file)
