"""`fastinst-rt explain`: the paper's figures on the user's own pictures."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fastinst_rt.cli import options


class FigureName(StrEnum):
    """The figures, as the command line spells them."""

    QUERIES = "queries"
    ATTENTION = "attention"
    PREDICTIONS = "predictions"
    FAILURES = "failures"
    RECALL = "recall"


_EXAMPLES = """
[bold]Examples[/]

  fastinst-rt explain photo.jpg

  fastinst-rt explain photo.jpg --figure attention --queries 0,3 --per-head

  fastinst-rt explain val/ --gt val.json --figure failures --figure recall -o report/
"""


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command("explain", epilog=_EXAMPLES)(explain)


def explain(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Pictures, folders, globs, or a video.")],
    figures: Annotated[
        list[FigureName] | None,
        typer.Option("--figure", "-f", help="Which; may be given again. Default: all that apply."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for PNG, SVG and .npz.")] = Path("explained"),
    gt: Annotated[Path | None, typer.Option("--gt", help="Labels of the pictures: a COCO instances file.")] = None,
    num_queries: Annotated[str, typer.Option("--num-queries", help="N_a shown, e.g. [b]10,100[/].")] = "10,100",
    compare_weights: Annotated[
        Path | None, typer.Option("--compare-weights", help="A second checkpoint beside the first (figure queries).")
    ] = None,
    layer: Annotated[int, typer.Option("--layer", help="Decoder layer of figure attention; -1 is the last.")] = -1,
    queries: Annotated[
        str | None,
        typer.Option("--queries", help="Queries of figure attention, e.g. [b]0,5[/]; default: auxiliary ones."),
    ] = None,
    per_head: Annotated[bool, typer.Option("--per-head", help="Every head, not their mean alone.")] = False,
    at: Annotated[float, typer.Option("--at", min=0, help="Seconds into a video.")] = 0.0,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Failures of each kind on the sheet.")] = 4,
    model: options.Model = options.DEFAULT_MODEL,
    weights: options.Weights = None,
    device: options.Device = "auto",
    score: options.Score = 0.5,
    short_side: options.ShortSide = None,
    max_side: options.MaxSide = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001  (remembered by the option's callback)
) -> None:
    """Show what the network sees: query places, attention, predictions, failures, and the recall of query places."""
    from rich.console import Console

    from fastinst_rt.explain.session import Request, run_explain

    console = Console(stderr=True, quiet=quiet, highlight=False, markup=False)
    request = Request(
        inputs=tuple(inputs),
        figures=tuple(figure.value for figure in figures or ()),
        output=output,
        gt=gt,
        counts=_integers(num_queries, "--num-queries") or (),
        compare_weights=compare_weights,
        layer=layer,
        queries=_integers(queries, "--queries"),
        per_head=per_head,
        at=at,
        limit=limit,
        model=model,
        weights=weights,
        device=device,
        score=score,
        short_side=short_side,
        max_side=max_side,
    )
    for line in run_explain(request):
        console.print(line)


def _integers(text: str | None, option: str) -> tuple[int, ...] | None:
    """The numbers in a comma-separated option, or None where it was not given."""
    from fastinst_rt.errors import UsageError

    names = options.split(text)
    if names is None:
        return None
    if not names or not all(name.isdecimal() for name in names):
        raise UsageError(f"{option} is {text!r}.", "Give whole numbers, separated by commas.")
    return tuple(int(name) for name in names)
