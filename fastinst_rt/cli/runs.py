"""Runs jobs one after another, prints what becomes of them, and ends with the right error."""

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape

from fastinst_rt.cli.progress import RunDisplay, print_summary, write_summary
from fastinst_rt.errors import FastInstError, SourceLostError, SourceOpenError
from fastinst_rt.video.jobs import Network, Settings, run_job
from fastinst_rt.video.outputs import Job
from fastinst_rt.video.summary import Summary


def run_jobs(
    jobs: Sequence[Job], network: Network, settings: Settings, display: RunDisplay, json_summary: Path | None
) -> list[Summary]:
    """Runs every job. One input that cannot be read does not keep the others from being done.

    Raises:
        SourceOpenError, SourceLostError: after all jobs, the first such error.
        Others: at once.
    """
    runs: list[Summary] = []
    first: FastInstError | None = None
    failures = 0

    def end(summary: Summary) -> None:
        display.end()
        print_summary(display.console, summary)
        runs.append(summary)

    try:
        for job in jobs:
            try:
                run_job(job, network, settings, on_open=display.begin, on_end=end, on_note=display.note)
            except (SourceOpenError, SourceLostError) as error:
                failures += 1
                first = first or error
                if len(jobs) > 1:
                    display.console.print(f"[red]failed[/] {escape(str(error))}")
    finally:
        display.end()
        if json_summary is not None and runs:
            write_summary(json_summary, runs)
    if first is not None:
        if failures > 1:
            raise type(first)(f"{failures} of {len(jobs)} inputs failed; the first: {first.problem}", first.remedy)
        raise first
    return runs
