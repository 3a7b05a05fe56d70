"""Compare two runs of a suite: a difference is claimed only where there is one to see.

What is compared is each row's quiet time: of every block the 5th percentile, of these the 10th. On a shared
machine a median says how busy the neighbours were. On two cores of a cloud machine OpenVINO's median moved by 12 %
between two equal runs and its quiet time by 1.7 %, because the runs met a slow spell (1.5 times slower, for half a
minute) for one and for five of their ten blocks.

For each row that both runs measured, four things must hold before a difference is named:
1. both runs have blocks enough: even if every block of one were quicker than every block of the other, that would
   have to be rarer by chance than a false difference may be (five blocks each do for up to six rows, eight for 300);
2. the bootstrap interval of the change excludes zero (corrected for the number of rows, so that forty rows do not give
   two false differences by chance);
3. so does the interval after the change of the yardstick's quiet time is divided out: what the machine itself got
   slower or quicker by is not the engine's doing;
4. both changes are larger than the resolution of one per cent, and than the unsteadiness of the quicker run: how far
   the best third of its blocks reaches above the best one. So even at its best the slower run is slower than the other
   is in its quiet third. The bootstrap takes blocks for independent, but moods of a machine last longer than a run,
   and what the blocks of one run differ by, two runs may differ by. That the slower run is unsteady too is no argument
   against it: what disturbs a run only adds time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from fastinst_rt.bench.measure import Measurement
from fastinst_rt.bench.report import Report, Row, Subject
from fastinst_rt.bench.statistics import Change, change, unsteadiness

RESOLUTION = 0.01
"""Smallest relative change that is ever claimed: two identical runs on a quiet machine differ by up to this."""

_QUIET = 10
"""Percentile of the blocks' floors that stands for the run."""

_ERROR_RATE = 0.05
"""Chance of at least one false difference in a whole comparison."""

# an engine built anew may have another hash and be the same
_WHAT = [field.name for field in fields(Subject) if field.name not in ("id", "engine_sha256")]

Verdict = Literal["slower", "faster", "no difference", "only in a", "only in b"]


@dataclass(frozen=True, slots=True)
class RowComparison:
    """One row of two runs.

    Attributes:
        id: the subject's id.
        label: for people.
        verdict: of b against a.
        raw: change of the quiet time as measured; None where a run lacks the row.
        machine_removed: the same with the yardstick divided out; None without a yardstick.
        quiet: seconds a call in a and in b when nothing disturbs it.
        unsteady: the least change that can be told from the unsteadiness of the quicker run.
        decidable: whether the blocks are enough to name any difference.
    """

    id: str
    label: str
    verdict: Verdict
    raw: Change | None = None
    machine_removed: Change | None = None
    quiet: tuple[float, float] | None = None
    unsteady: float = 0.0
    decidable: bool = True


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        rows: every row that either run has measured, in the order of a, then of b.
        machine: change of the yardstick itself, None if a run has none.
        differences: name -> (a, b) of everything that is not equal: environment, protocol, what the rows measured.
    """

    rows: tuple[RowComparison, ...]
    machine: Change | None
    differences: Mapping[str, tuple[Any, Any]]

    @property
    def same(self) -> bool:
        """Whether nothing differs in any row that both runs have."""
        return all(row.verdict not in ("slower", "faster") for row in self.rows)


def compare(a: Report, b: Report) -> Comparison:
    """Compare run b with run a, row by row."""
    rows_a, rows_b = _measured(a), _measured(b)
    shared = [key for key in rows_a if key in rows_b]
    confidence = 1 - _ERROR_RATE / max(1, len(shared))
    machine = _change(a.yardstick, b.yardstick) if a.yardstick and b.yardstick else None
    compared = [
        _compare_row(row, rows_b[key], machine, confidence)
        if key in rows_b
        else RowComparison(key, row.subject.label, "only in a")
        for key, row in rows_a.items()
    ]
    compared += [RowComparison(key, row.subject.label, "only in b") for key, row in rows_b.items() if key not in rows_a]
    return Comparison(tuple(compared), machine, differences(a, b))


def _measured(report: Report) -> dict[str, Row]:
    return {row.subject.id: row for row in report.rows if row.measurement is not None}


def _compare_row(a: Row, b: Row, machine: Change | None, confidence: float) -> RowComparison:
    assert a.measurement is not None
    assert b.measurement is not None
    raw = _change(a.measurement, b.measurement, confidence)
    relative = None
    if machine is not None:
        value, low, high = ((1 + part) / (1 + machine.value) - 1 for part in (raw.value, raw.low, raw.high))
        relative = replace(raw, value=value, low=low, high=high)
    quicker = a.measurement if raw.value > 0 else b.measurement
    unsteady = max(RESOLUTION, unsteadiness(quicker.floors))
    return RowComparison(
        id=a.subject.id,
        label=a.subject.label,
        verdict=_verdict(raw, relative, unsteady),
        raw=raw,
        machine_removed=relative,
        quiet=(_quiet_time(a.measurement), _quiet_time(b.measurement)),
        unsteady=unsteady,
        decidable=raw.decidable,
    )


def _quiet_time(measurement: Measurement) -> float:
    return float(np.percentile(measurement.floors, _QUIET))


def _change(a: Measurement, b: Measurement, confidence: float = 0.99) -> Change:
    return change(a.floors, b.floors, confidence, _QUIET)


def _verdict(raw: Change, relative: Change | None, unsteady: float) -> Verdict:
    seen = [raw] if relative is None else [raw, relative]
    if all(c.excludes_zero and c.value > unsteady for c in seen):
        return "slower"
    if all(c.excludes_zero and c.value < -unsteady for c in seen):
        return "faster"
    return "no difference"


def differences(a: Report, b: Report) -> dict[str, tuple[Any, Any]]:
    """What is not equal in the two environments, protocols and versions."""
    facts_a = {**a.environment, "fastinst-rt": a.version, "protocol": a.protocol, "suite": a.suite}
    facts_b = {**b.environment, "fastinst-rt": b.version, "protocol": b.protocol, "suite": b.suite}
    keys = [*facts_a, *(key for key in facts_b if key not in facts_a)]
    found = {key: (facts_a.get(key), facts_b.get(key)) for key in keys if facts_a.get(key) != facts_b.get(key)}
    return found | _other_subjects(a, b)


def _other_subjects(a: Report, b: Report) -> dict[str, tuple[Any, Any]]:
    """What rows of one id measured differently: another model, weights, input size, clip."""
    rows_a, rows_b = _measured(a), _measured(b)
    found: dict[str, tuple[Any, Any]] = {}
    for key in (key for key in rows_a if key in rows_b):
        for name in _WHAT:
            ours, theirs = getattr(rows_a[key].subject, name), getattr(rows_b[key].subject, name)
            if ours != theirs:
                found.setdefault(name, (ours, theirs))
    only_a, only_b = (tuple(n for n in one.notes if n not in other.notes) for one, other in ((a, b), (b, a)))
    return found | ({"notes": (only_a, only_b)} if only_a or only_b else {})
