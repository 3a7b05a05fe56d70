"""Reports as JSON and as tables."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from fastinst_rt.errors import OutputError
from fastinst_rt.evaluation.report import ClassResult, Report

NAN = float("nan")
REPORT = Report(
    task="instance",
    definition="as defined",
    images=7,
    figures={"AP": 0.1234, "AP50": NAN},
    classes=[
        ClassResult("cat", 3, {"AP": 0.5}),
        ClassResult("dog", 0, {"AP": NAN}),
        ClassResult("cow", 0, {"AP": 0.0}),
    ],
    notes=["a note"],
    settings={"model": "m"},
)


def test_json_has_null_where_nothing_was_measured(tmp_path: Path) -> None:
    REPORT.save(tmp_path / "new" / "r.json")
    content = json.loads((tmp_path / "new" / "r.json").read_text())
    assert content["figures"] == {"AP": 0.1234, "AP50": None}
    assert content["classes"][0] == {"name": "cat", "count": 3, "AP": 0.5}
    assert content["settings"] == {"model": "m"}
    with pytest.raises(OutputError, match="cannot be written"):
        REPORT.save(tmp_path)


def test_tables_are_in_percent_and_leave_out_classes_without_labels() -> None:
    console = Console(width=80, record=True, quiet=False, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    console.print(REPORT.tables())
    text = console.export_text()
    assert "12.3" in text
    assert "50.0" in text
    assert "dog" not in text
    assert "cow" in text
    assert "a note" in text
