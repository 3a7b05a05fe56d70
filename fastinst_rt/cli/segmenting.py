"""How the commands open their segmenter, and how they say that its engine only stands in for a faster one."""

from pathlib import Path
from typing import TYPE_CHECKING

from fastinst_rt.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from fastinst_rt.segmenter import Segmenter


def open_segmenter(
    console: "Console",
    model: str,
    weights: Path | str | None,
    backend: str,
    precision: str | None,
    device: str,
    score: float,
    classes: str | None,
    max_instances: int,
    short_side: int | None,
    max_side: int | None,
    engine_dir: Path | None,
    live: bool,
    exact: bool = False,
) -> "Segmenter":
    """The segmenter that the shared options describe; loading it takes a moment, so the user is told."""
    from rich.markup import escape

    with console.status(f"loading {escape(model)} ..."):
        from fastinst_rt.segmenter import Segmenter

        return Segmenter.from_pretrained(
            model,
            weights=None if weights is None else str(weights),
            backend=backend,
            precision=precision,
            device=device,
            score=score,
            classes=options.split(classes),
            max_instances=max_instances,
            short_side=short_side,
            max_side=max_side,
            engine_dir=engine_dir,
            exact=exact,
            mode="latency" if live else "throughput",
        )


def tell_note(console: "Console", segmenter: "Segmenter") -> None:
    """Says it where the segmenter's engine is not the one that `auto` prefers; see `EngineInfo.note`."""
    from fastinst_rt.cli.progress import print_note

    if segmenter.engine is not None and segmenter.engine.note:
        print_note(console, segmenter.engine.note)
