"""`fastinst-rt image`: pictures in, annotated pictures out."""

from pathlib import Path
from typing import Annotated

import typer

from fastinst_rt.cli import options

_EXAMPLES = """
[bold]Examples[/]

  fastinst-rt image photo.jpg -o photo-masks.jpg

  fastinst-rt image holiday/ -o annotated/ --json holiday.jsonl --mask-dir masks/

  fastinst-rt image "shots/*.png" -o out/ --classes person,dog --score 0.4
"""


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command("image", epilog=_EXAMPLES)(image)


def image(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Pictures, folders of pictures, or globs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder, or the picture to write for a single input.")],
    json_lines: Annotated[
        Path | None, typer.Option("--json", help="Write instances with RLE masks, one JSON object a line and picture.")
    ] = None,
    mask_dir: Annotated[Path | None, typer.Option("--mask-dir", help="Write instance-id maps as PNG here.")] = None,
    boxes: Annotated[bool, typer.Option("--boxes", help="Draw boxes too.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Published order of operations; slower.")] = False,
    model: options.Model = options.DEFAULT_MODEL,
    weights: options.Weights = None,
    backend: options.Backend = "eager",  # an engine for each size of picture takes longer than it saves
    precision: options.Precision = None,
    device: options.Device = "auto",
    score: options.Score = 0.5,
    classes: options.Classes = None,
    max_instances: options.MaxInstances = 100,
    short_side: options.ShortSide = None,
    max_side: options.MaxSide = None,
    engine_dir: options.EngineDir = None,
    json_summary: options.JsonSummary = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001  (remembered by the option's callback)
) -> None:
    """Segment pictures: files, folders, globs to annotated pictures, JSON and masks."""
    from fastinst_rt.pictures import find_pictures, make_folder, output_paths

    sources = find_pictures(inputs)
    targets = output_paths(sources, output)
    if mask_dir is not None:
        make_folder(mask_dir)

    import json

    from rich.console import Console
    from rich.progress import track

    from fastinst_rt.cli.segmenting import open_segmenter, tell_note
    from fastinst_rt.errors import SourceOpenError
    from fastinst_rt.pictures import write_bytes
    from fastinst_rt.render import Layers, Overlay
    from fastinst_rt.video.stills import annotate_pictures

    console = Console(stderr=True, quiet=quiet)
    with open_segmenter(
        console, model, weights, backend, precision, device, score, classes, max_instances, short_side, max_side,
        engine_dir, live=True, exact=exact,
    ) as segmenter:  # fmt: skip
        report = annotate_pictures(
            track(list(zip(sources, targets, strict=True)), "pictures", console=console, disable=quiet, transient=True),
            segmenter,
            Overlay(Layers(boxes=boxes)),
            json_lines=json_lines,
            mask_dir=mask_dir,
        )
        engine = segmenter.engine_name
        tell_note(console, segmenter)
    if report.written:
        console.print(f"{len(report.written)} pictures, {report.instances} instances, engine {engine}", markup=False)
    if json_summary is not None:
        summary = {
            "pictures": len(report.written),
            "instances": report.instances,
            "engine": engine,
            "outputs": [str(path) for path in report.written],
            "failures": {str(path): str(error) for path, error in report.failures.items()},
        }
        write_bytes(json_summary, json.dumps(summary, indent=2, ensure_ascii=False).encode())
    if report.failures:
        first = next(iter(report.failures.values()))
        if len(sources) == 1:
            raise first
        raise SourceOpenError(
            f"{len(report.failures)} of {len(sources)} pictures could not be read; the first: {first.problem}",
            first.remedy,
        )
