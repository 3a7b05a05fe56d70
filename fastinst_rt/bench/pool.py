"""Several runs of one suite as one long run with breaks.

A process may have a state of its own that lasts as long as it does: what one run cannot know, several that were taken
at different times can.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fastinst_rt.bench.compare import differences
from fastinst_rt.bench.measure import Measurement, WarmUp
from fastinst_rt.bench.report import Report, read_json
from fastinst_rt.errors import UsageError


def read_runs(path: Path) -> Report:
    """A run from a file, or all runs of a folder as one.

    Raises:
        UsageError: a file is no report, a folder has none, or its runs did not measure the same.
    """
    if not path.is_dir():
        return read_json(path)
    files = sorted(path.glob("*.json"))
    if not files:
        raise UsageError(f"There is no run in the folder {path}.", "Put files written by bench --json there.")
    runs = [read_json(file) for file in files]
    for file, run in zip(files[1:], runs[1:], strict=True):
        if differing := differences(runs[0], run):
            raise UsageError(
                f"{file.name} and {files[0].name} in {path} differ in {', '.join(differing)}.",
                "Keep only runs of one suite, one version and one machine in a folder.",
            )
    return pooled(runs)


def pooled(runs: Sequence[Report]) -> Report:
    """One report with the blocks of all runs; rows that a run lacks keep the blocks of the others.

    Everything that is not measured is that of the first run.
    """
    found = [{row.subject.id: row.measurement for row in run.rows} for run in runs]
    joined = [(row, _joined([measured.get(row.subject.id) for measured in found])) for row in runs[0].rows]
    rows = tuple(replace(row, measurement=all_of, skipped=None if all_of else row.skipped) for row, all_of in joined)
    return replace(runs[0], rows=rows, yardstick=_joined([run.yardstick for run in runs]), after=runs[-1].after)


def _joined(parts: Sequence[Measurement | None]) -> Measurement | None:
    measured = [part for part in parts if part is not None]
    if not measured:
        return None
    ends = np.cumsum([0, *(part.blocks.max() + 1 for part in measured[:-1])])
    return Measurement(
        samples=np.concatenate([part.samples for part in measured]),
        blocks=np.concatenate([part.blocks + end for part, end in zip(measured, ends, strict=True)]),
        warm_up=WarmUp(
            sum(part.warm_up.seconds for part in measured),
            sum(part.warm_up.calls for part in measured),
            all(part.warm_up.settled for part in measured),
        ),
    )
