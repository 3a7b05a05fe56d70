"""What a run of frames prints: a progress bar (plain lines where there is no terminal) and the summary at its end."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.progress import Progress, TaskID

    from fastinst_rt.video.sources import SourceInfo
    from fastinst_rt.video.summary import Snapshot, Summary

PLAIN_EVERY = 5.0
"""Seconds between two plain lines."""


class RunDisplay:
    """Shows runs one after another on stderr.

    Args:
        quiet: shows nothing.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, soft_wrap=True, highlight=False)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._next_line = 0.0

    def begin(self, info: "SourceInfo", title: str | None = None) -> "Callable[[Snapshot], None]":
        """A run begins; returns who is to be told of its progress."""
        name = title or (info.path.name if info.path else info.name)
        total = info.frame_count
        if not self.console.is_terminal:
            self._next_line = time.monotonic() + PLAIN_EVERY
            return lambda state: self._print_line(name, total, state)
        self._progress = _bar(self.console, counted=total is not None)
        self._task = self._progress.add_task(name, total=total, fps="", drops="")
        self._progress.start()
        return self._move_bar

    def note(self, sentence: str) -> None:
        """What the user should know before the run begins."""
        print_note(self.console, sentence)

    def end(self) -> None:
        """The run is over."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _move_bar(self, state: "Snapshot") -> None:
        if self._progress is None or self._task is None:
            return
        lost = sum(state.drops.values())
        self._progress.update(
            self._task,
            completed=state.frames_out,
            fps=f"{state.recent.fps:.1f} FPS",
            drops=f"{lost} dropped" if lost else "",
        )

    def _print_line(self, name: str, total: int | None, state: "Snapshot") -> None:
        now = time.monotonic()
        if now < self._next_line:
            return
        self._next_line = now + PLAIN_EVERY
        parts = [f"{state.frames_out}{f'/{total}' if total else ''} frames", f"{state.recent.fps:.1f} FPS"]
        if lost := sum(state.drops.values()):
            parts.append(f"{lost} dropped")
        if total and state.recent.fps > 0:
            parts.append(f"{max(0.0, (total - state.frames_out) / state.recent.fps):.0f} s left")
        self.console.print(f"{name}: {', '.join(parts)}", markup=False)


def _bar(console: Console, counted: bool) -> "Progress":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns: list[Any] = [TextColumn("{task.description}", markup=False), BarColumn(bar_width=28), MofNCompleteColumn()]
    columns += [TextColumn("{task.fields[fps]}"), TextColumn("[yellow]{task.fields[drops]}")]
    columns.append(TimeRemainingColumn() if counted else TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def print_summary(console: Console, run: "Summary") -> None:
    """A few lines: what came out, how fast, where the time went."""
    drops = ", ".join(f"{number} {cause}" for cause, number in run.drops.items())
    mark = {"complete": "[green]done[/]", "quit": "[green]ended[/]", "interrupted": "[yellow]interrupted[/]"}
    console.print(
        f"{mark.get(run.outcome, '[red]failed[/]')} {_escape(run.source)}: {run.frames_out} of {run.frames_in} frames"
        f"{f' (dropped: {drops})' if drops else ''} in {run.wall_seconds:.1f} s, [bold]{run.fps:.1f} FPS[/]"
    )
    console.print(f"  {_escape(run.model)} on {_escape(run.engine)}, policy {run.policy}", style="dim")
    console.print(_stage_table(run))
    console.print(
        f"  stages overlapped {run.overlap:.2f}-fold; the busiest worked {100 * run.efficiency:.0f} % of the time",
        style="dim",
    )
    for path in run.outputs:
        console.print(f"  [bold]->[/] {_escape(path)}")
    for sentence in run.warnings:
        print_note(console, sentence, "  ")


def print_note(console: Console, sentence: str, indent: str = "") -> None:
    """A sentence that the user should not miss."""
    console.print(f"{indent}[yellow]note:[/] {_escape(sentence)}")


def _stage_table(run: "Summary") -> Table:
    table = Table(box=None, padding=(0, 2, 0, 2), header_style="dim")
    table.add_column("ms a frame")
    for heading in ("mean", "p50", "p95", "max"):
        table.add_column(heading, justify="right")
    rows = {**run.stages, **{f"  {name}": part for name, part in run.infer_parts.items()}, "frame age": run.age}
    order = ["decode", "infer", *(f"  {name}" for name in run.infer_parts), "overlay", "encode", "frame age"]
    for name in order:
        times = rows[name]
        if times.frames:
            figures = (times.mean, times.p50, times.p95, times.maximum)
            label = f"infer, {run.concurrency} at once" if name == "infer" and run.concurrency > 1 else name
            table.add_row(label, *(f"{1e3 * seconds:.1f}" for seconds in figures))
    return table


def write_summary(path: Path, runs: "Sequence[Summary]") -> None:
    """The summary as JSON: the run itself, or `{"runs": [...]}` for several.

    Raises:
        OutputError: it cannot be written.
    """
    from fastinst_rt.pictures import write_bytes

    content = runs[0].as_json() if len(runs) == 1 else {"runs": [run.as_json() for run in runs]}
    write_bytes(path, json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
