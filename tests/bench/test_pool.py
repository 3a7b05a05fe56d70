"""Several runs as one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastinst_rt.bench.compare import compare
from fastinst_rt.bench.pool import pooled, read_runs
from fastinst_rt.bench.report import Report, Row, Subject, write_json
from fastinst_rt.errors import UsageError

from .builders import measurement, report, row, skipped


def run(seconds: float, seed: int, mood: float = 1.0) -> Report:
    """A run whose machine was `mood` times as slow for the engine, all the while, and not for the yardstick."""
    subject = Subject(id="engine", label="engine", level="engine")
    return report(Row(subject, measurement(seconds * mood, seed)), yardstick=measurement(0.01, seed + 1))


def test_all_samples_of_all_runs_are_there_and_no_block_is_mixed() -> None:
    one, two = run(0.02, 1), run(0.02, 3)
    (joined,) = pooled([one, two]).rows
    assert joined.measurement is not None
    (a,), (b,) = one.rows, two.rows
    assert a.measurement is not None
    assert b.measurement is not None
    assert joined.measurement.samples.tolist() == [*a.measurement.samples, *b.measurement.samples]
    assert joined.measurement.medians.tolist() == [*a.measurement.medians, *b.measurement.medians]
    assert joined.measurement.warm_up.calls == 24


def test_a_mood_that_lasts_for_a_whole_run_hides_nothing_from_several_runs() -> None:
    for seed in range(0, 40, 10):
        slow_mood, calm = run(0.02, seed, mood=1.09), run(0.02, seed + 2)
        slower, again = run(0.022, seed + 4), run(0.022, seed + 6, mood=1.09)
        assert compare(slow_mood, slower).same
        assert compare(pooled([slow_mood, calm]), pooled([slower, again])).rows[0].verdict == "slower"
        assert compare(pooled([slow_mood, calm]), pooled([run(0.02, seed + 8), run(0.02, seed + 9, mood=1.09)])).same


def test_a_row_that_one_run_skipped_has_the_samples_of_the_others() -> None:
    (found, missing) = pooled(
        [report(skipped("a", "no memory"), skipped("b", "no memory")), report(row("a", 0.1))]
    ).rows
    assert found.measurement is not None
    assert found.skipped is None
    assert (missing.measurement, missing.skipped) == (None, "no memory")


def test_a_folder_is_read_as_one_run_and_a_file_as_itself(tmp_path: Path) -> None:
    write_json(run(0.02, 1), tmp_path / "1.json")
    write_json(run(0.02, 3), tmp_path / "2.json")
    (one,), (both,) = read_runs(tmp_path / "1.json").rows, read_runs(tmp_path).rows
    assert one.measurement is not None
    assert both.measurement is not None
    assert len(np.unique(both.measurement.blocks)) == 2 * len(np.unique(one.measurement.blocks))


def test_a_folder_of_unlike_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run in the folder"):
        read_runs(tmp_path)
    write_json(run(0.02, 1), tmp_path / "1.json")
    write_json(replace(run(0.02, 3), suite="stages"), tmp_path / "2.json")
    with pytest.raises(UsageError, match=r"2\.json and 1\.json .* differ in suite"):
        read_runs(tmp_path)
