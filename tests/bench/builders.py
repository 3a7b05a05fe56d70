"""Reports made by hand for the tests of this room."""

import numpy as np

from fastinst_rt.bench import environment
from fastinst_rt.bench.measure import Measurement, WarmUp
from fastinst_rt.bench.protocol import QUICK
from fastinst_rt.bench.report import Check, Report, Row, Subject


def measurement(median: float, seed: int = 0, blocks: int = 10, each: int = 5, noise: float = 0.01) -> Measurement:
    """Samples around a median, blocks drifting by `noise`."""
    random = np.random.default_rng(seed)
    level = median * (1 + noise * random.standard_normal(blocks)).repeat(each)
    samples = level * (1 + 0.003 * random.standard_normal(blocks * each))
    return Measurement(samples, np.arange(blocks).repeat(each), WarmUp(0.3, 12, True))


def report(*rows: Row, yardstick: Measurement | None = None) -> Report:
    """A report of these rows."""
    now = environment.condition()
    return Report(
        suite="paper",
        title="The paper's models",
        rows=rows,
        checks=(Check("3 layers are quicker than 9", "31 and 24 fps", True),),
        notes=("Random weights.",),
        protocol=QUICK,
        yardstick=yardstick,
        environment=environment.describe(),
        before=now,
        after=now,
        version="0.1.0",
    )


def row(name: str, median: float, seed: int = 0, **facts: object) -> Row:
    """A measured row of level engine."""
    subject = Subject(id=name, label=name, level="engine", padded=(448, 800), model=name, backend="eager")
    return Row(subject, measurement(median, seed), facts=facts)


def skipped(name: str, reason: str) -> Row:
    """A row that could not be measured."""
    return Row(Subject(id=name, label=name, level="engine"), skipped=reason)
