"""A report for people: one table in the terminal, the same table as Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fastinst_rt.bench.compare import Comparison, RowComparison
from fastinst_rt.bench.gpu import HARMFUL
from fastinst_rt.bench.report import Check, Report, Row

_FIXED = ("row", "level", "input", "fps", "p50 ms", "p95 ms", "p99 ms", "n")
_LEFT = ("row", "level", "input")
_WIDE, _UNBOUNDED = 180, 10_000
"""Columns where the output is no terminal."""
_BUSY = 0.05
"""Share of the cores' time taken by others above which a report carries a warning."""


def show(report: Report) -> None:
    """Print a report on stdout; where that is no terminal, wide enough that no cell is cut."""
    console = _console()
    console.print(as_rich(report, console.width))


def show_comparison(comparison: Comparison) -> None:
    """Print a comparison on stdout."""
    _console().print(comparison_as_rich(comparison))


def as_rich(report: Report, width: int) -> RenderableType:
    """The report for a terminal of a width: table (in two parts where it is too wide), checks, notes, machine."""
    facts = _fact_titles(report.rows)
    tables = [_table(report, report.title, _FIXED, facts)]
    if facts and Console(width=_UNBOUNDED).measure(tables[0]).maximum > width:
        tables = [_table(report, report.title, _FIXED, []), _table(report, "", ("row", "level"), facts)]
    parts: list[RenderableType] = [*tables]
    parts += [Text(line, style="dim") for line in _skipped_lines(report.rows)]
    parts += [Text(_check_line(check), style=_check_style(check)) for check in report.checks]
    parts += [Text(note, style="dim") for note in report.notes]
    parts += [Text(line, style="yellow") for line in warnings(report)]
    parts.append(Text(machine_line(report), style="dim"))
    return Group(*parts)


def _table(report: Report, title: str, fixed: Sequence[str], facts: Sequence[str]) -> Table:
    table = Table(title=title or None, title_justify="left", pad_edge=False, box=SIMPLE_HEAD)
    for name in (*fixed, *facts):
        table.add_column(name, justify="left" if name in _LEFT else "right", no_wrap=name != "row", overflow="fold")
    for row in report.rows:
        figures = dict(zip((*_FIXED, *facts), _cells(row, facts), strict=True))
        cells = [escape(figures[name]) for name in (*fixed, *facts)]
        table.add_row(*cells, style="dim" if row.skipped else None)
    return table


def as_markdown(report: Report) -> str:
    """The report as a Markdown section."""
    titles = _fact_titles(report.rows)
    lines = [f"## {report.title}", ""]
    lines += _markdown_table([*_FIXED, *titles], [_cells(row, titles) for row in report.rows])
    lines += ["", *(f"- {line}" for line in _skipped_lines(report.rows))]
    lines += [f"- {_check_line(check)}" for check in report.checks]
    lines += [f"- {note}" for note in report.notes]
    lines += [f"- **{line}**" for line in warnings(report)]
    lines += ["", machine_line(report), ""]
    return "\n".join(lines)


def comparison_as_rich(comparison: Comparison) -> RenderableType:
    """A comparison for a terminal."""
    table = Table(title="b against a", title_justify="left", pad_edge=False, box=SIMPLE_HEAD)
    titles = ("row", "a p50 ms", "b p50 ms", "change", "without the machine", "interval", "verdict")
    for title in titles:
        table.add_column(title, justify="left" if title in ("row", "verdict") else "right")
    for row in comparison.rows:
        style = {"slower": "red", "faster": "green"}.get(row.verdict)
        table.add_row(*_comparison_cells(row), style=style)
    parts: list[RenderableType] = [table]
    if comparison.machine is not None:
        machine = comparison.machine
        parts.append(
            Text(f"machine (yardstick): {machine.value:+.1%}, interval {machine.low:+.1%} to {machine.high:+.1%}")
        )
    parts += [
        Text(f"not the same: {name}: {a} / {b}", style="yellow") for name, (a, b) in comparison.differences.items()
    ]
    undecidable = [row.label for row in comparison.rows if row.deciding and not row.deciding.decidable]
    if undecidable:
        text = "Too few samples to name a difference among so many rows (measure without --quick): "
        parts.append(Text(text + ", ".join(undecidable), style="yellow"))
    parts.append(Text("no difference" if comparison.same else "the runs differ", style="bold"))
    return Group(*parts)


def warnings(report: Report) -> list[str]:
    """What makes the figures of a run doubtful."""
    found = []
    if report.foreign_load is not None and report.foreign_load > _BUSY:
        found.append(
            f"Other processes took {report.foreign_load:.0%} of the CPU during this run: do not trust its figures."
        )
    for when, condition in (("before", report.before), ("after", report.after)):
        for gpu in condition.gpus:
            held = sorted(HARMFUL & set(gpu["throttle_reasons"]))
            if held:
                found.append(f"GPU {gpu['index']} was held back {when} the run: {', '.join(held)}.")
    moving = [r.subject.label for r in report.rows if r.measurement is not None and not r.measurement.warm_up.settled]
    if moving:
        found.append(f"The median still moved after the warm-up of: {'; '.join(moving)}.")
    return found


def machine_line(report: Report) -> str:
    """The machine in one line."""
    facts = report.environment
    libraries = facts["libraries"]
    parts = [f"{facts['cpu']}, {facts['cores_usable']} cores, {facts['torch_threads']} threads"]
    parts += [f"{gpu['name']} (driver {gpu['driver_version']}, {gpu['power.limit']} W)" for gpu in facts["gpus"]]
    parts += [
        f"{name} {version}" for name, version in libraries.items() if name in ("torch", "openvino", "torch-tensorrt")
    ]
    parts.append("quick protocol" if report.protocol.seconds < 20 else "full protocol")
    return " · ".join(parts)


def _console() -> Console:
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=_WIDE)


def _fact_titles(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(title for row in rows for title in row.facts))


def _cells(row: Row, titles: Sequence[str]) -> list[str]:
    subject, summary = row.subject, row.summary
    size = "" if subject.padded is None else "x".join(map(str, subject.padded))
    level = subject.level if subject.mode == "latency" else f"{subject.level}, {subject.mode}"
    figures = ["skipped", "", "", "", ""]
    if summary is not None and row.fps is not None:
        figures = [
            number(row.fps),
            *(number(v * 1e3) for v in (summary.p50, summary.p95, summary.p99)),
            str(summary.count),
        ]
    return [subject.label, level, size, *figures, *(fact(row.facts.get(title)) for title in titles)]


def fact(value: Any) -> str:
    """A further column's cell: {"ours": 29.7, "paper": 30} becomes "29.7 / 30"."""
    if isinstance(value, dict):
        return " / ".join(fact(part) or "–" for part in value.values())
    if value is None:
        return ""
    return number(value) if isinstance(value, float) else str(value)


def number(value: float) -> str:
    """Three significant figures, but never fewer than the whole part: 1234, 56.7, 8.90, 0.0123."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"


def _skipped_lines(rows: Iterable[Row]) -> list[str]:
    return [f"{row.subject.label}: skipped. {row.skipped}" for row in rows if row.skipped]


def _check_line(check: Check) -> str:
    sign = {True: "holds", False: "DOES NOT HOLD", None: "cannot be told"}[check.holds]
    return f"{check.statement}: {sign} ({check.found})"


def _check_style(check: Check) -> str:
    return {True: "green", False: "red", None: "yellow"}[check.holds]


def _markdown_table(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---" if title in _LEFT else "--:" for title in head]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *body)]


def _comparison_cells(row: RowComparison) -> list[str]:
    if row.raw is None or row.medians is None or row.deciding is None:
        return [row.label, "", "", "", "", "", row.verdict]
    net = "" if row.net is None else f"{row.net.value:+.1%}"
    seen = row.deciding
    verdict = row.verdict if row.verdict == "no difference" else f"{row.verdict} by {abs(seen.value):.1%}"
    medians = [number(seconds * 1e3) for seconds in row.medians]
    return [row.label, *medians, f"{row.raw.value:+.1%}", net, f"{seen.low:+.1%} to {seen.high:+.1%}", verdict]
