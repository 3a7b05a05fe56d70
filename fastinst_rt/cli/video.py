"""`fastinst-rt video`: video files in, annotated video, JSON, masks and mattes out."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fastinst_rt.cli import options

_EXAMPLES = """
[bold]Examples[/]

  fastinst-rt video street.mp4 -o street-masks.mp4

  fastinst-rt video holiday/ -o annotated/ --resume

  fastinst-rt video "shots/*.mov" -o out/ --classes person,dog --score 0.4

  fastinst-rt video talk.mp4 --matte talk-matte.mov --classes person

  fastinst-rt video talk.mp4 --json talk.jsonl --start 10 --end 20 --every 5
"""


class PolicyName(StrEnum):
    """What happens to frames that come too fast."""

    EVERY = "every"
    FRESHEST = "freshest"


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command("video", epilog=_EXAMPLES)(video)


def video(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Videos, folders of videos, globs, URLs, or - for stdin.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Annotated video, or the folder for several.")
    ] = None,
    json_lines: Annotated[
        Path | None, typer.Option("--json", help="Instances with RLE masks, one JSON object a line and frame.")
    ] = None,
    mask_dir: Annotated[
        Path | None, typer.Option("--mask-dir", help="Instance-id maps, one 16-bit PNG a frame.")
    ] = None,
    matte: Annotated[
        Path | None, typer.Option("--matte", help="What was found, cut out: .mov (ProRes 4444) or .webm (VP9).")
    ] = None,
    boxes: Annotated[bool, typer.Option("--boxes", help="Draw boxes too.")] = False,
    audio: Annotated[bool, typer.Option("--audio/--no-audio", help="Copy sound and subtitles.")] = True,
    codec: Annotated[
        str | None, typer.Option("--codec", help="h264, hevc, av1, vp9 or an encoder's name; default: h264.")
    ] = None,
    crf: Annotated[int | None, typer.Option("--crf", min=0, max=63, help="Constant quality; lower is better.")] = None,
    start: Annotated[float | None, typer.Option("--start", min=0.0, help="Begin here, seconds.")] = None,
    end: Annotated[float | None, typer.Option("--end", min=0.0, help="End before here, seconds.")] = None,
    every: Annotated[
        int,
        typer.Option("--every", min=1, help="Run the network on every N-th frame; all are written, masks are held."),
    ] = 1,
    policy: Annotated[
        PolicyName | None, typer.Option("--policy", help="every loses nothing; freshest drops frames to keep up.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Skip inputs whose outputs are there and complete.")] = False,
    model: options.Model = options.DEFAULT_MODEL,
    weights: options.Weights = None,
    backend: options.Backend = "auto",
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
    """Segment video files: sound, timing and every frame are kept."""
    from fastinst_rt.errors import UsageError
    from fastinst_rt.video.inputs import expand_inputs
    from fastinst_rt.video.outputs import plan_jobs

    if output is json_lines is mask_dir is matte is None:
        raise UsageError("Nothing is to be written.", "Give --output, --json, --mask-dir or --matte.")
    if start is not None and end is not None and end <= start:
        raise UsageError(f"--end {end:g} does not come after --start {start:g}.", "Swap them.")
    jobs = plan_jobs(expand_inputs(inputs), output, json_lines, mask_dir, matte)

    from fastinst_rt.cli.progress import RunDisplay
    from fastinst_rt.cli.runs import run_jobs
    from fastinst_rt.cli.segmenting import open_segmenter
    from fastinst_rt.render import Layers, Overlay
    from fastinst_rt.video.jobs import Settings
    from fastinst_rt.video.plan import Plan
    from fastinst_rt.video.queues import Policy
    from fastinst_rt.video.sources import SourceOptions

    display = RunDisplay(quiet)
    if resume:
        from fastinst_rt.video.urls import redact

        finished = [job for job in jobs if job.outputs.are_complete()]
        jobs = [job for job in jobs if job not in finished]
        for job in finished:
            display.console.print(f"{redact(job.source)}: complete, skipped", markup=False)
        if not jobs:
            return
    settings = Settings(
        source=SourceOptions(start=start, end=end),
        plan=Plan(policy=Policy(policy) if policy else None, every_nth=every),
        overlay=Overlay(Layers(boxes=boxes)),
        codec=codec,
        crf=crf,
        audio=audio,
        model=model,
    )
    with open_segmenter(
        display.console, model, weights, backend, precision, device, score, classes, max_instances, short_side,
        max_side, engine_dir, live=False,
    ) as segmenter:  # fmt: skip
        run_jobs(jobs, segmenter, settings, display, json_summary)
