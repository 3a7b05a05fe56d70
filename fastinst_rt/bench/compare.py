"""Compare two runs of a suite: a difference is claimed only where there is one to see.

For each row that both runs measured, four things must hold before a difference is named:
1. both runs have blocks enough: even if every block of one were quicker than every block of the other, that would
   have to be rarer by chance than a false difference may be (five blocks each do for up to six rows, eight for 300);
2. the bootstrap interval of the change excludes zero (corrected for the number of rows, so that forty rows do not give
   two false differences by chance);
3. so does the interval of the change after both runs are divided by their yardstick, block by block: what the machine
   itself got slower or quicker by is not the engine's doing;
4. the change is larger than the resolution of one per cent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastinst_rt.bench.measure import Measurement
from fastinst_rt.bench.report import Report, Row
from fastinst_rt.bench.statistics import Change, block_medians, change
from fastinst_rt.bench.timers import Seconds

RESOLUTION = 0.01
"""Smallest relative change that is ever claimed: two identical runs on a quiet machine differ by up to this."""

_ERROR_RATE = 0.05
"""Chance of at least one false difference in a whole comparison."""

Verdict = Literal["slower", "faster", "no difference", "only in a", "only in b"]


@dataclass(frozen=True, slots=True)
class RowComparison:
    """One row of two runs.

    Attributes:
        id: the subject's id.
        label: for people.
        verdict: of b against a.
        raw: change of the median as measured; None where a run lacks the row.
        machine_removed: the same with the yardstick divided out; None without a yardstick.
        p50: median seconds in a and in b.
        decidable: whether the blocks are enough to name any difference.
    """

    id: str
    label: str
    verdict: Verdict
    raw: Change | None = None
    machine_removed: Change | None = None
    p50: tuple[float, float] | None = None
    decidable: bool = True


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        rows: every row that either run has measured, in the order of a, then of b.
        machine: change of the yardstick itself, None if a run has none.
        differences: name -> (a, b) of everything in the two environments that is not equal.
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
    compared = [
        _compare_row(row, rows_b[key], a.yardstick, b.yardstick, confidence)
        if key in rows_b
        else RowComparison(key, row.subject.label, "only in a")
        for key, row in rows_a.items()
    ]
    compared += [RowComparison(key, row.subject.label, "only in b") for key, row in rows_b.items() if key not in rows_a]
    machine = change(_pair(a.yardstick), _pair(b.yardstick)) if a.yardstick and b.yardstick else None
    return Comparison(tuple(compared), machine, _differences(a, b))


def _measured(report: Report) -> dict[str, Row]:
    return {row.subject.id: row for row in report.rows if row.measurement is not None}


def _pair(measurement: Measurement) -> tuple[Seconds, npt.NDArray[np.int64]]:
    return measurement.samples, measurement.blocks


def _compare_row(
    a: Row, b: Row, yard_a: Measurement | None, yard_b: Measurement | None, confidence: float
) -> RowComparison:
    assert a.measurement is not None
    assert b.measurement is not None
    assert a.summary is not None
    assert b.summary is not None
    raw = change(_pair(a.measurement), _pair(b.measurement), confidence)
    relative = None
    if yard_a is not None and yard_b is not None:
        relative = change(_relative(a.measurement, yard_a), _relative(b.measurement, yard_b), confidence)
    decidable = _rarest(a.measurement, b.measurement) <= 1 - confidence
    return RowComparison(
        id=a.subject.id,
        label=a.subject.label,
        verdict=_verdict(raw, relative) if decidable else "no difference",
        raw=raw,
        machine_removed=relative,
        p50=(a.summary.p50, b.summary.p50),
        decidable=decidable,
    )


def _rarest(a: Measurement, b: Measurement) -> float:
    """Chance that all blocks of one of two equal runs are quicker than all of the other.

    The bootstrap does not know it: from five blocks it draws intervals that are too narrow.
    """
    first, second = (len(np.unique(run.blocks)) for run in (a, b))
    return 2 / comb(first + second, first)


def _verdict(raw: Change, relative: Change | None) -> Verdict:
    seen = [raw] if relative is None else [raw, relative]
    if all(c.low > 0 and c.value > RESOLUTION for c in seen):
        return "slower"
    if all(c.high < 0 and c.value < -RESOLUTION for c in seen):
        return "faster"
    return "no difference"


def _relative(measurement: Measurement, yardstick: Measurement) -> tuple[Seconds, npt.NDArray[np.int64]]:
    """The samples in units of the yardstick: each block divided by the yardstick's median of that round."""
    rounds = np.unique(yardstick.blocks)
    medians = block_medians(yardstick.samples, yardstick.blocks)
    overall = float(np.median(medians))
    unit = {int(r): float(m) for r, m in zip(rounds, medians, strict=True)}
    divisors = np.array([unit.get(int(block), overall) for block in measurement.blocks])
    return measurement.samples / divisors, measurement.blocks


def _differences(a: Report, b: Report) -> dict[str, tuple[Any, Any]]:
    """What is not equal in the two environments, protocols and versions."""
    facts_a = {**a.environment, "fastinst-rt": a.version, "protocol": a.protocol, "suite": a.suite}
    facts_b = {**b.environment, "fastinst-rt": b.version, "protocol": b.protocol, "suite": b.suite}
    keys = [*facts_a, *(key for key in facts_b if key not in facts_a)]
    return {key: (facts_a.get(key), facts_b.get(key)) for key in keys if facts_a.get(key) != facts_b.get(key)}
