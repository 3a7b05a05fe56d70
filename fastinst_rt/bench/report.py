"""What a suite found, and its JSON: everything needed to read the run later and to compare it with another one.

The file format is described in `benchmarks/README.md`; `SCHEMA` names its version.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fastinst_rt.bench.environment import Condition, foreign_load
from fastinst_rt.bench.measure import Measurement, Mode, WarmUp
from fastinst_rt.bench.protocol import Protocol
from fastinst_rt.bench.statistics import Summary, summarise
from fastinst_rt.errors import UsageError
from fastinst_rt.pictures import make_folder, write_bytes
from fastinst_rt.results import Size

SCHEMA = "fastinst-rt.bench/1"

Level = Literal["engine", "model", "e2e", "stage"]
"""engine: the network alone, on its device. model: a frame on the host to instances on the host. e2e: decode of a clip
to its encoded output. stage: one part of these."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a row measured. Two rows of two runs are compared if `id` is the same.

    Attributes:
        id: short and stable: "fastinst-d1-r50/engine/latency".
        label: for people.
        level, mode: see `Level` and `measure.Mode`.
        model, weights: name in the table of models; "random, seed 0" or the checkpoint.
        backend, precision, device, batch: of the engine.
        frame, resized, padded: (height, width) of the picture, of the network's input, and after padding.
        engine_sha256: hash over the artefact of a compiled engine, None for eager.
    """

    id: str
    label: str
    level: Level
    mode: Mode = "latency"
    model: str | None = None
    weights: str | None = None
    backend: str | None = None
    precision: str | None = None
    device: str = "cpu"
    batch: int = 1
    frame: Size | None = None
    resized: Size | None = None
    padded: Size | None = None
    engine_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a report: measured, or skipped with a reason.

    Attributes:
        subject: what was measured.
        measurement: all samples, or None if skipped.
        skipped: one sentence, why there is no measurement.
        facts: further columns by title: a number, a text, or {"ours": x, "paper": y}.
    """

    subject: Subject
    measurement: Measurement | None = None
    skipped: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> Summary | None:
        """Order statistics of the samples, seconds a call."""
        return None if self.measurement is None else summarise(self.measurement.samples, self.measurement.blocks)

    @property
    def fps(self) -> float | None:
        """Pictures a second at the median."""
        return None if self.summary is None else self.subject.batch * self.summary.fps


@dataclass(frozen=True, slots=True)
class Check:
    """A statement that the run tests: what is expected, what was found, whether it holds (None: cannot be told)."""

    statement: str
    found: str
    holds: bool | None


@dataclass(frozen=True, slots=True)
class Report:
    """One run of one suite.

    Attributes:
        suite, title: its name and its heading.
        rows: in the order of the suite, skipped ones included.
        checks: statements tested.
        notes: what a reader must know, one sentence each.
        protocol: how long and how often was measured.
        yardstick: the machine's own speed, measured between the rows.
        environment: `environment.describe()`, and the yardstick's kind.
        before, after: the machine's condition at both ends.
        version: of fastinst-rt.
    """

    suite: str
    title: str
    rows: tuple[Row, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...]
    protocol: Protocol
    yardstick: Measurement | None
    environment: Mapping[str, Any]
    before: Condition
    after: Condition
    version: str

    @property
    def foreign_load(self) -> float | None:
        """Share of the cores' time that others took during the run, 0..1."""
        return foreign_load(self.before, self.after)


def to_json(report: Report) -> dict[str, Any]:
    """The report as JSON values."""
    return {
        "schema": SCHEMA,
        "suite": report.suite,
        "title": report.title,
        "version": report.version,
        "protocol": asdict(report.protocol),
        "environment": dict(report.environment),
        "before": asdict(report.before),
        "after": asdict(report.after),
        "foreign_load": report.foreign_load,
        "yardstick": None if report.yardstick is None else _measurement_to_json(report.yardstick),
        "rows": [_row_to_json(row) for row in report.rows],
        "checks": [asdict(check) for check in report.checks],
        "notes": list(report.notes),
    }


def write_json(report: Report, path: Path) -> None:
    """Write the report; the file is complete or absent.

    Raises:
        OutputError: if it cannot be written.
    """
    write_text(json.dumps(to_json(report), indent=1) + "\n", path)


def write_text(text: str, path: Path) -> None:
    """Write a text as a whole or not at all, making its folder.

    Raises:
        OutputError: if it cannot be written.
    """
    make_folder(path.parent)
    write_bytes(path, text.encode())


def read_json(path: Path) -> Report:
    """Read a report that `write_json` wrote.

    Raises:
        UsageError: if it is no report of this format.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as JSON ({error}).", "Give a file written by bench --json.") from error
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA:
        raise UsageError(f"{path} has the format {found!r}, not {SCHEMA!r}.", "Measure again with this version.")
    return from_json(data)


def from_json(data: Mapping[str, Any]) -> Report:
    """A report from the values that `to_json` gave."""
    return Report(
        suite=data["suite"],
        title=data["title"],
        rows=tuple(_row_from_json(row) for row in data["rows"]),
        checks=tuple(Check(**check) for check in data["checks"]),
        notes=tuple(data["notes"]),
        protocol=Protocol(**data["protocol"]),
        yardstick=None if data["yardstick"] is None else _measurement_from_json(data["yardstick"]),
        environment=data["environment"],
        before=_condition_from_json(data["before"]),
        after=_condition_from_json(data["after"]),
        version=data["version"],
    )


def _row_to_json(row: Row) -> dict[str, Any]:
    values: dict[str, Any] = {"subject": asdict(row.subject), "facts": dict(row.facts), "skipped": row.skipped}
    if row.measurement is not None and row.summary is not None:
        values |= {"fps": row.fps, "summary": asdict(row.summary), "measurement": _measurement_to_json(row.measurement)}
    return values


def _row_from_json(data: Mapping[str, Any]) -> Row:
    sizes = {name: tuple(value) for name, value in data["subject"].items() if isinstance(value, list)}
    return Row(
        subject=Subject(**{**data["subject"], **sizes}),
        measurement=_measurement_from_json(data["measurement"]) if "measurement" in data else None,
        skipped=data["skipped"],
        facts=data["facts"],
    )


def _measurement_to_json(measurement: Measurement) -> dict[str, Any]:
    return {
        "samples": [round(float(seconds), 8) for seconds in measurement.samples],
        "blocks": [int(block) for block in measurement.blocks],
        "warm_up": asdict(measurement.warm_up),
    }


def _measurement_from_json(data: Mapping[str, Any]) -> Measurement:
    return Measurement(np.array(data["samples"]), np.array(data["blocks"], np.int64), WarmUp(**data["warm_up"]))


def _condition_from_json(data: Mapping[str, Any]) -> Condition:
    return Condition(**{**data, "gpus": tuple(data["gpus"])})
