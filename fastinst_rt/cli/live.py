"""`fastinst-rt live`: a camera, stream or clip to a window, a web page and a recording."""

from pathlib import Path
from typing import Annotated

import typer

from fastinst_rt.cli import options
from fastinst_rt.cli.video import PolicyName

_EXAMPLES = """
[bold]Examples[/]

  fastinst-rt live

  fastinst-rt live /dev/video2 --size 1280x720 --fps 30 --record talk.mp4

  fastinst-rt live rtsp://camera.local/stream --no-window --serve 8080

  fastinst-rt live test:1280x720@30 --seconds 10

[bold]Keys in the window[/]

  space pause, r record, s screenshot, + and - threshold, m masks / boxes / labels, h display, q quit
"""


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command("live", epilog=_EXAMPLES)(live)


def live(
    source: Annotated[
        str, typer.Argument(metavar="[SOURCE]", help="Camera index, device, rtsp/http URL, clip, or test: pattern.")
    ] = "0",
    record: Annotated[Path | None, typer.Option("--record", help="Write the annotated video, without display.")] = None,
    window: Annotated[bool, typer.Option("--window/--no-window", help="Show a window.")] = True,
    serve: Annotated[
        str | None, typer.Option("--serve", metavar="[HOST:]PORT", help="Show a web page; loopback unless told.")
    ] = None,
    policy: Annotated[
        PolicyName | None, typer.Option("--policy", help="freshest (default) keeps up; every loses nothing.")
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0.0, help="Stop after this time.")] = None,
    frames: Annotated[int | None, typer.Option("--frames", min=1, help="Stop after this many frames.")] = None,
    size: Annotated[str | None, typer.Option("--size", metavar="WxH", help="Size to ask of a camera.")] = None,
    rate: Annotated[int | None, typer.Option("--fps", min=1, help="Rate to ask of a camera.")] = None,
    boxes: Annotated[bool, typer.Option("--boxes", help="Draw boxes too.")] = False,
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
    """Segment a camera, a stream or a clip live, in a window."""
    from fractions import Fraction

    from rich.markup import escape

    from fastinst_rt.cli.progress import RunDisplay, print_summary, write_summary
    from fastinst_rt.cli.segmenting import open_segmenter
    from fastinst_rt.render import Layers, Overlay
    from fastinst_rt.video.jobs import Settings, Watch
    from fastinst_rt.video.live import LiveOutputs, parse_size, run_live
    from fastinst_rt.video.plan import Plan
    from fastinst_rt.video.queues import Policy
    from fastinst_rt.video.sources import SourceOptions, open_source
    from fastinst_rt.video.summary import Summary

    wanted = SourceOptions(live=True, size=parse_size(size) if size else None, rate=Fraction(rate) if rate else None)
    outputs = LiveOutputs(record=record, window=window, serve=serve)
    outputs.check()
    display = RunDisplay(quiet)
    opened = open_source(source, wanted)
    try:
        segmenter = open_segmenter(
            display.console, model, weights, backend, precision, device, score, classes, max_instances, short_side,
            max_side, engine_dir, live=True,
        )  # fmt: skip
    except BaseException:
        opened.close()
        raise

    def begin(url: str | None) -> Watch:
        display.console.print(f"{opened.info.name}: {opened.info.width}x{opened.info.height}", markup=False)
        if url is not None:
            display.console.print(f"watch at [bold]{escape(url)}[/]")
        return display.begin(opened.info)

    def end(run: Summary) -> None:
        display.end()
        print_summary(display.console, run)
        if json_summary is not None:
            write_summary(json_summary, [run])

    settings = Settings(
        plan=Plan(policy=Policy(policy) if policy else None, frames=frames, seconds=seconds),
        overlay=Overlay(Layers(boxes=boxes)),
        model=model,
    )
    with segmenter:
        run_live(opened, segmenter, outputs, settings, begin, end, display.note)
