"""benchmarks/sensitivity.py: what it slows, and whom it believes."""

import time
from pathlib import Path
from types import ModuleType

import pytest

from fastinst_rt.bench.report import write_json

from .builders import measurement, report, row

ROW = "openvino fp32"


@pytest.fixture
def sensitivity(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    from benchmarks import sensitivity

    return sensitivity


def runs(folder: Path, slowed: float, other: float) -> dict[str, list[Path]]:
    """Two runs of each kind; in the slowed ones the row takes `slowed` times as long, another row `other` times."""
    files: dict[str, list[Path]] = {}
    for kind, factors in (("equal", (1.0, 1.0)), ("slowed", (slowed, other))):
        (folder / kind).mkdir()
        files[kind] = [folder / kind / f"{n}.json" for n in range(2)]
        for n, file in enumerate(files[kind]):
            seed = 10 * len(kind) + n
            rows = row(ROW, 0.02 * factors[0], seed), row("eager fp32", 0.05 * factors[1], seed + 5)
            write_json(report(*rows, yardstick=measurement(0.01, seed + 50)), file)
    return files


@pytest.mark.parametrize(("slowed", "other", "right"), [(1.1, 1.0, True), (1.0, 1.0, False), (1.1, 1.2, False)])
def test_it_fails_where_a_tenth_is_missed_or_another_row_named(
    sensitivity: ModuleType, tmp_path: Path, slowed: float, other: float, right: bool
) -> None:
    assert sensitivity.judge(runs(tmp_path, slowed, other), ROW) is right


def test_a_slowed_engine_answers_the_same_later(sensitivity: ModuleType) -> None:
    class Engine:
        info = "what it is"

        def __call__(self, images: int) -> int:
            time.sleep(0.02)
            return images + 1

        def close(self) -> None: ...

    slowed = sensitivity.Slowed(Engine(), 0.5)
    begin = time.perf_counter()
    assert slowed(1) == 2
    assert time.perf_counter() - begin >= 0.03
    assert slowed.info == "what it is"
