"""A difference is found where there is one, and only there."""

import io
import time
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from fastinst_rt.bench.compare import compare
from fastinst_rt.bench.measure import Measurement, Variant, measure
from fastinst_rt.bench.protocol import Protocol
from fastinst_rt.bench.report import Report, Row, Subject
from fastinst_rt.bench.tables import comparison_as_rich
from fastinst_rt.bench.timers import HostTimer

from .builders import measurement, report, row, skipped


def suite(seed: int, factor: float = 1.0, machine: float = 1.0) -> Report:
    """A run of 20 rows, the first slower by `factor`, everything slower by `machine`."""
    rows = [row(f"row {i}", 0.05 * machine * (factor if i == 0 else 1), seed=1000 * seed + i) for i in range(20)]
    return report(*rows, yardstick=measurement(0.01 * machine, seed=1000 * seed + 500))


def test_two_runs_of_one_machine_do_not_differ() -> None:
    false = sum(not compare(suite(2 * i), suite(2 * i + 1)).same for i in range(8))
    assert false <= 1


def test_ten_per_cent_are_found() -> None:
    for i in range(4):
        found = compare(suite(2 * i), suite(2 * i + 1, factor=1.10))
        assert [r.verdict for r in found.rows].count("slower") == 1
        assert found.rows[0].verdict == "slower"
        assert not found.same


def test_ten_per_cent_less_are_found() -> None:
    assert compare(suite(0), suite(1, factor=0.9)).rows[0].verdict == "faster"


def test_a_slower_machine_is_no_slower_engine() -> None:
    found = compare(suite(0), suite(1, machine=1.2))
    assert found.same
    assert found.machine is not None
    assert found.machine.value == pytest.approx(0.2, abs=0.03)


def test_a_difference_below_the_resolution_is_never_claimed() -> None:
    still = [
        report(row("a", t, seed=s), yardstick=measurement(0.01, s, noise=1e-4)) for t, s in ((0.05, 1), (0.053, 2))
    ]
    assert compare(*still).same
    assert compare(*still).rows[0].net.excludes_zero


def moody(seconds: float, seed: int, level: float = 1.0) -> Report:
    """A run on a machine that is up to twice as slow for a few rounds at a time, and slower by `level` all along."""
    random = np.random.default_rng(seed)
    mood = level * np.repeat(1 + random.random(10), 4)

    def taken(median: float, seed: int) -> Measurement:
        calm = measurement(median, seed, blocks=40, noise=0.015)
        return replace(calm, samples=calm.samples * mood[calm.blocks])

    subject = Subject(id="engine", label="engine", level="engine")
    return report(Row(subject, taken(seconds, seed)), yardstick=taken(0.01, seed + 1))


def test_moods_of_the_machine_are_no_difference() -> None:
    for seed in range(8):
        assert compare(moody(0.015, seed), moody(0.015, seed + 100, level=1.25)).same


def test_ten_per_cent_are_found_in_spite_of_moods() -> None:
    for seed in range(8):
        found = compare(moody(0.015, seed, level=1.2), moody(0.0165, seed + 100)).rows[0]
        assert found.verdict == "slower"
        assert found.net.value == pytest.approx(0.1, abs=0.04)


def test_a_row_without_a_yardstick_is_compared_as_measured() -> None:
    found = compare(report(row("a", 0.1, 1)), report(row("a", 0.12, 2))).rows[0]
    assert found.net is None
    assert found.verdict == "slower"


def test_runs_with_other_yardsticks_are_compared_as_measured() -> None:
    old, new = suite(0), suite(1, machine=1.2)
    found = compare(old, replace(new, environment={**new.environment, "yardstick": "another"}))
    assert found.machine is None
    assert {r.verdict for r in found.rows} == {"slower"}
    assert found.differences == {"yardstick": (None, "another")}


def test_too_few_blocks_name_no_difference_and_say_so() -> None:
    def run(seed: int, seconds: float, rows: int) -> Report:
        made = [
            replace(row(f"row {i}", seconds), measurement=measurement(seconds, 100 * seed + i, blocks=5))
            for i in range(rows)
        ]
        return report(*made, yardstick=measurement(0.01, seed=seed))

    few = compare(run(1, 0.05, 3), run(2, 0.06, 3))
    assert all(r.deciding.decidable and r.verdict == "slower" for r in few.rows)
    many = compare(run(1, 0.05, 20), run(2, 0.06, 20))
    assert many.same
    assert not any(r.deciding.decidable for r in many.rows)
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(comparison_as_rich(many))
    assert "Too few samples" in console.export_text()


def test_rows_of_one_run_only_are_said_to_be_so() -> None:
    found = compare(
        report(row("a", 0.1), row("b", 0.1)), report(row("a", 0.1), row("c", 0.1), skipped("b", "no memory"))
    )
    assert {r.id: r.verdict for r in found.rows} == {"a": "no difference", "b": "only in a", "c": "only in b"}


def test_what_differs_in_the_environment_is_listed() -> None:
    a, b = suite(0), suite(1)
    assert compare(a, b).differences == {}
    changed = Report(
        **{**{f: getattr(b, f) for f in b.__dataclass_fields__}, "environment": {**b.environment, "torch_threads": 99}}
    )
    assert set(compare(a, changed).differences) == {"torch_threads"}


def test_rows_that_measured_something_else_are_said_to() -> None:
    a, b = report(row("eager", 0.1)), report(row("eager", 0.1))
    (measured,) = b.rows
    other = replace(measured, subject=replace(measured.subject, model="another", padded=(320, 416), engine_sha256="1"))
    found = compare(a, replace(b, rows=(other,), notes=("Measured on street.mp4.",)))
    assert found.differences == {
        "model": ("eager", "another"),
        "padded": ((448, 800), (320, 416)),
        "notes": (("Random weights.",), ("Measured on street.mp4.",)),
    }


def test_an_injected_sleep_of_ten_per_cent_is_found_on_a_real_clock() -> None:
    protocol = Protocol(samples=60, seconds=2, least_samples=3, least_seconds=0, warm_up=0.05, warm_up_limit=0.3)

    def one_run(seconds: float) -> Report:
        variants = {
            "engine": Variant(lambda: time.sleep(seconds), HostTimer()),
            "yardstick": Variant(lambda: time.sleep(0.002), HostTimer()),
        }
        found = measure(variants, protocol)
        subject = Subject(id="engine", label="engine", level="engine")
        return report(Row(subject, found["engine"]), yardstick=found["yardstick"])

    assert compare(one_run(0.005), one_run(0.0056)).rows[0].verdict == "slower"
