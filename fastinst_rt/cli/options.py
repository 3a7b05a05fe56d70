"""Options that several commands share, spelt once."""

from pathlib import Path
from typing import Annotated

import typer


def _remember_verbose(ctx: typer.Context, value: bool) -> bool:
    ctx.find_root().meta["verbose"] = value
    return value


DEFAULT_MODEL = "fastinst-nano"
"""Runs anywhere and brings its weights along."""

Model = Annotated[str, typer.Option("--model", "-m", help="Model name; see [b]fastinst-rt models[/].")]
Weights = Annotated[
    Path | None,
    typer.Option("--weights", "-w", help="Checkpoint (.safetensors or a released .pth); default: the model's own."),
]
Backend = Annotated[
    str, typer.Option("--backend", "-b", help="auto, tensorrt, inductor, openvino or eager.", show_default=True)
]
Precision = Annotated[
    str | None, typer.Option("--precision", help="fp16, fp32 or int8; default: what suits the backend.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Score = Annotated[float, typer.Option("--score", min=0.0, max=1.0, help="Keep instances of at least this score.")]
Classes = Annotated[str | None, typer.Option("--classes", help="Keep these classes only, e.g. [b]person,car[/].")]
MaxInstances = Annotated[int, typer.Option("--max-instances", min=1, help="At most this many instances a picture.")]
ShortSide = Annotated[int | None, typer.Option("--short-side", min=32, help="Network input: short side, pixels.")]
MaxSide = Annotated[int | None, typer.Option("--max-side", min=32, help="Network input: longest side, pixels.")]
EngineDir = Annotated[Path | None, typer.Option("--engine-dir", help="Where compiled engines are kept.")]
JsonSummary = Annotated[Path | None, typer.Option("--json-summary", help="Write the summary of the run as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary; errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Say more, and show tracebacks.", callback=_remember_verbose)]


def split(text: str | None) -> list[str] | None:
    """The names in a comma-separated option, or None where it was not given."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
