"""`fastinst-rt bench`: measure a suite, or compare runs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fastinst_rt.cli import options

_EXAMPLES = """
[bold]Examples[/]

  fastinst-rt bench --quick

  fastinst-rt bench --suite stages --clip street.mp4 --json before.json

  fastinst-rt bench compare before.json after.json
"""

_COMPARE_EXAMPLES = """
[bold]Examples[/]

  fastinst-rt bench compare before.json after.json

  fastinst-rt bench compare before/ after/     each a folder of runs
"""


class SuiteName(StrEnum):
    """The suites, as the command line spells them."""

    PAPER = "paper"
    ABLATION = "ablation"
    BACKENDS = "backends"
    STAGES = "stages"
    E2E = "e2e"
    BASELINE = "baseline"


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    group = typer.Typer(invoke_without_command=True)
    group.callback(epilog=_EXAMPLES)(bench)
    group.command("compare", epilog=_COMPARE_EXAMPLES)(compare)
    app.add_typer(group, name="bench")


def bench(
    context: typer.Context,
    suite: Annotated[SuiteName, typer.Option("--suite", "-s", help="What to measure.")] = SuiteName.PAPER,
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure less of everything: minutes, wider intervals.")
    ] = False,
    clip: Annotated[
        Path | None,
        typer.Option("--clip", help="Video for stages, e2e, baseline and backends; default: the demo clip."),
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write everything, every sample included.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write the table as Markdown.")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Folder for pictures (PNG, SVG): AP against speed, latencies.")
    ] = None,
    model: options.Model = options.DEFAULT_MODEL,
    weights: options.Weights = None,
    backend: options.Backend = "auto",
    precision: options.Precision = None,
    device: options.Device = "auto",
    score: options.Score = 0.5,
    short_side: options.ShortSide = None,
    max_side: options.MaxSide = None,
    engine_dir: options.EngineDir = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,  # noqa: ARG001  (read by the error handler)
) -> None:
    """Measure a suite: speeds beside the paper's, by the protocol in benchmarks/README.md.

    In the suites paper and ablation, [b]--backend auto[/] means eager on a CPU: building an engine for each of their
    networks would take longer than measuring it.
    """
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console

    from fastinst_rt.bench import tables
    from fastinst_rt.bench.protocol import FULL, QUICK
    from fastinst_rt.bench.report import write_json, write_text
    from fastinst_rt.bench.suites import run_suite
    from fastinst_rt.bench.suites.common import Settings

    progress = Console(stderr=True, quiet=quiet, highlight=False, markup=False)
    settings = Settings(
        protocol=QUICK if quick else FULL,
        model=model,
        weights=weights,
        backend=backend,
        precision=precision,
        device=device,
        engine_dir=engine_dir,
        score=score,
        clip=clip,
        short_side=short_side,
        max_side=max_side,
        say=lambda line: progress.print(line, style="dim"),
    )
    report = run_suite(suite.value, settings)
    if json is not None:
        write_json(report, json)
    if markdown is not None:
        write_text(tables.as_markdown(report), markdown)
    if plot is not None:
        from fastinst_rt.bench.plots import write_plots

        for path in write_plots(report, plot):
            progress.print(f"wrote {path}")
    if not quiet:
        tables.show(report)


def compare(
    a: Annotated[Path, typer.Argument(help="A run written with --json, or a folder of them: to compare with.")],
    b: Annotated[Path, typer.Argument(help="A run written with --json, or a folder of them: to judge.")],
) -> None:
    """Compare two runs: a difference is named only where there is one to see.

    The runs of a folder count as one long run. Several runs a side, taken in turns (a, b, a, b), find smaller
    differences on a machine that others use too.
    """
    from fastinst_rt.bench import tables
    from fastinst_rt.bench.compare import compare as compare_reports
    from fastinst_rt.bench.pool import read_runs

    tables.show_comparison(compare_reports(read_runs(a), read_runs(b)))
