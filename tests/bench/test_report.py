"""The JSON keeps everything, and the tables show every row."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fastinst_rt.bench import tables
from fastinst_rt.bench.report import SCHEMA, Report, read_json, to_json, write_json
from fastinst_rt.errors import OutputError, UsageError

from .builders import measurement, report, row, skipped


@pytest.fixture
def small() -> Report:
    facts = {"AP val": 34.9, "params M": {"ours": 29.66, "paper": 30}, "V100 fps": 53.8}
    reason = "The machine has 1 GB of free memory, the row needs 3."
    return report(row("d1", 0.02, **facts), skipped("city", reason), yardstick=measurement(0.01))


def test_json_comes_back_as_it_went(small: Report, tmp_path: Path) -> None:
    path = tmp_path / "results" / "a.json"
    write_json(small, path)
    again = read_json(path)
    assert [r.subject for r in again.rows] == [r.subject for r in small.rows]
    assert again.rows[1].skipped == small.rows[1].skipped
    assert again.checks == small.checks
    assert again.protocol == small.protocol
    assert again.before == small.before
    assert again.rows[0].facts == small.rows[0].facts
    np.testing.assert_allclose(again.rows[0].measurement.samples, small.rows[0].measurement.samples, atol=1e-8)
    assert again.rows[0].fps == pytest.approx(small.rows[0].fps, rel=1e-5)
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"schema": "something/9"}))
    with pytest.raises(UsageError, match="something/9"):
        read_json(path)
    path.write_text("no json")
    with pytest.raises(UsageError, match="cannot be read"):
        read_json(path)


def test_an_unwritable_place_is_named(small: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        write_json(small, tmp_path / "file" / "a.json")


@pytest.mark.parametrize("width", [80, 100, 180])
def test_the_terminal_shows_every_row_and_why_one_is_missing(small: Report, width: int) -> None:
    text = printed(small, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "d1" in text
    assert "29.7 / 30" in text
    assert "city: skipped. The machine has 1 GB" in text
    assert "holds (31 and 24 fps)" in text
    assert "quick protocol" in " ".join(text.split())
    assert "…" not in text


def printed(report: Report, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(tables.as_rich(report, width))
    return console.file.getvalue()


def test_a_table_that_is_too_wide_comes_in_two_parts(small: Report) -> None:
    assert printed(small, 80).count("level") > printed(small, 180).count("level")


def test_markdown_has_one_line_a_row(small: Report) -> None:
    text = tables.as_markdown(small)
    head, rule, *body = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in (head, rule, *body)}) == 1
    assert len(body) == 2
    assert "448x800" in body[0]


def test_a_busy_machine_is_pointed_out(small: Report) -> None:
    busy = to_json(small)
    busy["after"] |= {"at": busy["before"]["at"] + 1, "cpu_seconds": busy["before"]["cpu_seconds"] + 1}
    from fastinst_rt.bench.report import from_json

    assert any("Other processes" in line for line in tables.warnings(from_json(busy)))
    assert not tables.warnings(small)


def test_a_throttled_gpu_is_pointed_out(small: Report) -> None:
    hot = to_json(small)
    hot["after"]["gpus"] = [{"index": 0, "throttle_reasons": ["software thermal slowdown", "idle"]}]
    from fastinst_rt.bench.report import from_json

    (line,) = tables.warnings(from_json(hot))
    assert "software thermal slowdown" in line
    assert "idle" not in line


def test_the_format_is_documented() -> None:
    page = (Path(__file__).parents[2] / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert SCHEMA in page
    written = to_json(report(row("d1", 0.02), yardstick=measurement(0.01)))
    names = {*written, *written["rows"][0], *written["rows"][0]["subject"], *written["rows"][0]["summary"]}
    names |= {*written["protocol"], *written["before"], *written["rows"][0]["measurement"]}
    assert not {name for name in names if f"`{name}`" not in page}


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1234"), (56.78, "56.8"), (8.901, "8.90"), (0.0123, "0.0123"), (0.0, "0.00")]
)
def test_numbers_have_three_figures(value: float, text: str) -> None:
    assert tables.number(value) == text
