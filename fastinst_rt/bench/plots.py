"""Two pictures of a report: accuracy against speed (the paper's trade-off figure), and every latency as a histogram."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastinst_rt.bench.report import Report, Row
from fastinst_rt.bench.tables import number
from fastinst_rt.errors import OutputError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _GRID = "#26323a", "#d9dfe3"
_OURS, _PAPER = "#c8452d", "#5f7a8c"


def write_plots(report: Report, folder: Path) -> list[Path]:
    """Draw what the report holds into `folder`, as PNG and SVG.

    Returns:
        The files written: `<suite>-tradeoff.*` where rows know their AP, and `<suite>-latency.*`.

    Raises:
        UsageError: without matplotlib.
        OutputError: if the folder cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            "--plot needs matplotlib, which is not installed.", "pip install 'fastinst-rt[plot]'"
        ) from error
    drawings: dict[str, Figure] = {}
    points = _comparable(report.rows)
    if points:
        drawings["tradeoff"] = _tradeoff(Figure(figsize=(7.2, 4.6), layout="constrained"), report, points)
    measured = [row for row in report.rows if row.measurement is not None]
    if measured:
        height = 1.0 + 0.36 * len(measured)
        drawings["latency"] = _latencies(Figure(figsize=(9.6, height), layout="constrained"), report, measured)
    written = []
    for name, figure in drawings.items():
        for suffix in (".png", ".svg"):
            path = folder / f"{report.suite}-{name}{suffix}"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                figure.savefig(path, dpi=160)
            except OSError as error:
                raise OutputError(f"{path} cannot be written ({error}).", "Give another folder with --plot.") from error
            written.append(path)
    return written


def _comparable(rows: Iterable[Row]) -> list[Row]:
    """One point a model: level engine, one call in flight, on pictures of the first such row's shape (one data set)."""
    known = [row for row in rows if row.fps is not None and row.facts.get("AP val") is not None]
    engines = [row for row in known if row.subject.level == "engine" and row.subject.mode == "latency"]
    return [row for row in engines if row.subject.frame == engines[0].subject.frame]


def _tradeoff(figure: "Figure", report: Report, rows: list[Row]) -> "Figure":
    """AP over pictures a second: this machine's rows, and the paper's V100 beside them."""
    axes = _plain(figure.subplots())
    names = [row.subject.model or row.subject.label for row in rows]
    accuracy = [float(row.facts["AP val"]) for row in rows]
    ours = [(float(row.fps or 0), ap, name) for row, ap, name in zip(rows, accuracy, names, strict=True)]
    published = [row.facts.get("V100 fps") for row in rows]
    paper = [
        (float(fps), ap, name) for fps, ap, name in zip(published, accuracy, names, strict=True) if fps is not None
    ]
    for points, colour, marker, name in (
        (paper, _PAPER, "o", "paper, V100"),
        (ours, _OURS, "D", "this machine, level engine"),
    ):
        if not points:
            continue
        x, y, labels = zip(*points, strict=True)
        axes.scatter(x, y, s=46, color=colour, marker=marker, label=name, zorder=3)
        for at_x, at_y, label in zip(x, y, labels, strict=True):
            axes.annotate(
                label, (at_x, at_y), xytext=(7, -3), textcoords="offset points", fontsize=7.5, color=colour, zorder=4
            )
    axes.set_xscale("log")
    every = [x for x, _, _ in (*ours, *paper)]
    axes.set_xlim(min(every) / 1.4, max(every) * 2.6)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:.1e}"[0] in "25" else "")
    axes.set_xlabel("pictures a second at the median (log scale)")
    axes.set_ylabel("mask AP, COCO val (published)")
    axes.set_title(f"{report.title}: accuracy against speed", loc="left", fontsize=10, color=_INK)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    return figure


def _latencies(figure: "Figure", report: Report, rows: list[Row]) -> "Figure":
    """One strip a row: every sample's density, with the median and the 95th percentile marked."""
    all_axes = figure.subplots(len(rows), 1, squeeze=False, sharex=True)[:, 0]
    everything = np.concatenate([row.measurement.samples for row in rows if row.measurement is not None]) * 1e3
    edges = np.geomspace(everything.min() / 1.05, everything.max() * 1.05, 90)
    for axes, row in zip(all_axes, rows, strict=True):
        _plain(axes)
        assert row.measurement is not None
        assert row.summary is not None
        axes.hist(row.measurement.samples * 1e3, bins=edges, color=_OURS, alpha=0.85)
        axes.axvline(row.summary.p50 * 1e3, color=_INK, linewidth=1.2)
        axes.axvline(row.summary.p95 * 1e3, color=_INK, linewidth=1.0, linestyle=":")
        axes.set_xscale("log")
        axes.set_yticks([])
        label = f"{row.subject.label} · {row.subject.level}"
        figures = f"{number(row.summary.p50 * 1e3)} · {number(row.summary.p95 * 1e3)} ms · n {row.summary.count}"
        for x, text, side in ((-0.01, label, "right"), (1.01, figures, "left")):
            axes.text(x, 0.5, text, transform=axes.transAxes, fontsize=7.5, va="center", ha=side, color=_INK)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(_GRID)
        axes.tick_params(which="both", length=0)
        axes.set_xlim(edges[0], edges[-1])
    all_axes[-1].xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    all_axes[-1].set_xlabel(
        "milliseconds a call (log scale); solid: median, dotted: 95th percentile, both at the right; nothing clipped",
        fontsize=8,
    )
    figure.suptitle(f"{report.title}: every sample", x=0.01, ha="left", fontsize=10, color=_INK)
    return figure


def _plain(axes: Any) -> Any:
    """Take away what carries no information."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="x", which="major", color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    return axes
