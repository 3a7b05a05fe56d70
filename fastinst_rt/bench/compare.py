"""Compare two runs of a suite: a difference is claimed only where there is one to see.

What is compared is each row's time over the yardstick's, round by round: a shared machine may be a quarter slower for
as long as a run takes, and a median of seconds only says so. For each row that both runs measured, three things must
hold before a difference is named:
1. both runs have blocks enough: even if every block of one were quicker than every block of the other, that would
   have to be rarer by chance than a false difference may be (five blocks each do for up to six rows, eight for 300);
2. the bootstrap interval of the change excludes zero (corrected for the number of rows, so that forty rows do not give
   two false differences by chance);
3. the change is larger than the resolution, which is what the ratios of equal processes differed by.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from fastinst_rt.bench.measure import Measurement
from fastinst_rt.bench.report import Report, Row, Subject
from fastinst_rt.bench.statistics import Change, change

RESOLUTION = 0.08
"""Smallest relative change that is ever claimed. A process has states of its own: among six equal ones on two shared
cores the ratios of a row differed by up to 4 % (OpenVINO, inductor) and 8 % (eager), those of an engine slowed by a
tenth by 10 to 15 %; the plain medians of equal rows differed by up to 12 %."""

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
        raw: change of the median time as measured; None where a run lacks the row.
        net: change of the median of the times over the yardstick's, which decides; None without a
            yardstick, or with another.
        medians: seconds a call in a and in b.
    """

    id: str
    label: str
    verdict: Verdict
    raw: Change | None = None
    net: Change | None = None
    medians: tuple[float, float] | None = None

    @property
    def deciding(self) -> Change | None:
        """The change that the verdict follows from."""
        return self.net or self.raw


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
    yardsticks = (a.yardstick, b.yardstick)
    if a.environment.get("yardstick") != b.environment.get("yardstick"):
        yardsticks = (None, None)
    compared = [
        _compare_row(row, rows_b[key], yardsticks, confidence)
        if key in rows_b
        else RowComparison(key, row.subject.label, "only in a")
        for key, row in rows_a.items()
    ]
    compared += [RowComparison(key, row.subject.label, "only in b") for key, row in rows_b.items() if key not in rows_a]
    machine = change(yardsticks[0].medians, yardsticks[1].medians) if yardsticks[0] and yardsticks[1] else None
    return Comparison(tuple(compared), machine, differences(a, b))


def _measured(report: Report) -> dict[str, Row]:
    return {row.subject.id: row for row in report.rows if row.measurement is not None}


def _compare_row(
    a: Row, b: Row, yardsticks: tuple[Measurement | None, Measurement | None], confidence: float
) -> RowComparison:
    assert a.measurement is not None
    assert b.measurement is not None
    raw, net = change(a.measurement.medians, b.measurement.medians, confidence), None
    if yardsticks[0] is not None and yardsticks[1] is not None:
        net = change(a.measurement.over(yardsticks[0]), b.measurement.over(yardsticks[1]), confidence)
    return RowComparison(
        id=a.subject.id,
        label=a.subject.label,
        verdict=_verdict(net or raw),
        raw=raw,
        net=net,
        medians=(float(np.median(a.measurement.medians)), float(np.median(b.measurement.medians))),
    )


def _verdict(seen: Change) -> Verdict:
    if not seen.excludes_zero or abs(seen.value) <= RESOLUTION:
        return "no difference"
    return "slower" if seen.value > 0 else "faster"


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
