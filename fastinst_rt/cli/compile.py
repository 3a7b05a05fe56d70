"""`fastinst-rt compile`: build, prove and store an engine."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastinst_rt.cli import options
from fastinst_rt.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from fastinst_rt.backends.manifest import Manifest
    from fastinst_rt.results import Size

_EXAMPLES = """
[bold]Examples[/]

  fastinst-rt compile fastinst-nano --for clip.mp4

  fastinst-rt compile fastinst-d1-r50 --frame 1920x1080 --parity-images photos/

  fastinst-rt compile fastinst-d1-r50 --backend openvino --precision int8 --calibration-images photos/
"""
_FULL_HD = (1080, 1920)


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command("compile", epilog=_EXAMPLES)(compile_)


def compile_(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model name; see [b]fastinst-rt models[/].")],
    source: Annotated[
        str | None, typer.Option("--for", metavar="SOURCE", help="Take the shape from this video, camera or picture.")
    ] = None,
    frame: Annotated[
        str | None, typer.Option("--frame", metavar="WxH", help="Size of the frames; default 1920x1080.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option("--input", metavar="HxW", help="Size of the resized picture itself, as `engines list` has it."),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Pictures in one call.")] = 1,
    parity_images: Annotated[
        Path | None,
        typer.Option("--parity-images", help="Folder of pictures to prove the engine on; default: drawn ones."),
    ] = None,
    calibration_images: Annotated[
        Path | None, typer.Option("--calibration-images", help="Folder of pictures to calibrate INT8 on.")
    ] = None,
    allow_unverified: Annotated[
        bool, typer.Option("--allow-unverified", help="Store the engine even if it is under the parity gate.")
    ] = False,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build it even if a good one is stored.")] = False,
    weights: options.Weights = None,
    backend: options.Backend = "auto",
    precision: options.Precision = None,
    device: options.Device = "auto",
    short_side: options.ShortSide = None,
    max_side: options.MaxSide = None,
    engine_dir: options.EngineDir = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001  (remembered by the option's callback)
) -> None:
    """Build an engine, prove it against the FP32 eager network, and store it."""
    if sum(option is not None for option in (source, frame, size)) > 1:
        raise UsageError("--for, --frame and --input each say the shape.", "Give one of them.")
    frame_size, input_size = _pair(frame, "--frame"), _pair(size, "--input")

    from rich.console import Console
    from rich.markup import escape

    from fastinst_rt.backends.compiling import CompileRequest, compile_engine
    from fastinst_rt.preprocess import resize_rule
    from fastinst_rt.segmenter import named_network

    console = Console(stderr=True, quiet=quiet, soft_wrap=True, highlight=False)
    net, digest = named_network(model, weights)
    if input_size is None:
        height, width = _frame_of(source) if source else (frame_size[1], frame_size[0]) if frame_size else _FULL_HD
        input_size = resize_rule(height, width, short_side or net.spec.short_side, max_side or net.spec.max_side)
        console.print(f"frames of {width}x{height} are resized to {input_size[1]}x{input_size[0]}", style="dim")
    request = CompileRequest(
        model=model,
        resized=input_size,
        weights_sha256=digest,
        batch=batch,
        backend=backend,
        precision=precision,
        device=device,
        engine_dir=engine_dir,
        parity_images=parity_images,
        calibration_images=calibration_images,
        allow_unverified=allow_unverified,
        rebuild=rebuild,
    )
    with console.status(f"compiling {model}") as status:
        folder, manifest = compile_engine(
            net, request, lambda step, _: status.update(f"compiling {model}: {escape(step)}")
        )
    _print_result(console, folder, manifest)


def _pair(text: str | None, option: str) -> tuple[int, int] | None:
    """ "1920x1080" to two numbers, in the order given."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)[xX](\d+)", text.strip())
    if not match or not all(1 <= int(number) <= 16384 for number in match.groups()):
        raise UsageError(f"{option} {text!r} is not a size.", f"Give two numbers, e.g. {option} 1280x720.")
    return int(match[1]), int(match[2])


def _frame_of(source: str) -> "Size":
    from fastinst_rt.video.sources import open_source

    opened = open_source(source)
    try:
        return opened.info.height, opened.info.width
    finally:
        opened.close()


def _print_result(console: "Console", folder: Path, manifest: "Manifest") -> None:
    build, parity = manifest.build, manifest.parity
    pictures: Any = f"{parity['pictures']} {'real' if parity['real_pictures'] else 'drawn'} pictures"
    mark = "[green]proven[/]" if manifest.verified else "[red]under the parity gate, stored all the same[/]"
    console.print(
        f"{mark}: {parity['agreement']:.1%} of {parity['instances']} instances agree on {pictures}, "
        f"mean mask IoU {parity['mean_iou']:.3f}"
    )
    gain = build["eager_ms"] / build["latency_ms"]
    console.print(
        f"{manifest.key.backend} {manifest.precision_found}: [bold]{build['latency_ms']:.3g} ms[/] a call, "
        f"{gain:.2f} x eager FP32; built in {build['seconds']:.0f} s"
    )
    print(folder)
