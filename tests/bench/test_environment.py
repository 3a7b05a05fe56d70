"""The machine describes itself; what it cannot read is None, and nothing is guessed."""

import json
import os
from dataclasses import asdict, replace

import pytest

from fastinst_rt.bench import environment, gpu


def test_the_description_is_json_and_names_what_matters() -> None:
    facts = json.loads(json.dumps(environment.describe()))
    assert {"cpu", "cores_usable", "torch_threads", "cuda", "libraries", "gpus", "cpu_governor", "memory"} <= set(facts)
    assert facts["libraries"]["torch"]
    assert 1 <= facts["cores_usable"] <= os.cpu_count()


def test_the_condition_is_json() -> None:
    json.dumps(asdict(environment.condition()))


def test_own_work_is_not_foreign_load() -> None:
    before = environment.condition()
    cores = os.cpu_count() or 1
    busy = replace(
        before, at=before.at + 10, own_seconds=before.own_seconds + 10, cpu_seconds=(before.cpu_seconds or 0) + 10
    )
    busy_before = replace(before, cpu_seconds=before.cpu_seconds or 0)
    assert environment.foreign_load(busy_before, busy) == pytest.approx(0, abs=1e-9)
    others = replace(busy, cpu_seconds=(before.cpu_seconds or 0) + 10 + 5)
    assert environment.foreign_load(busy_before, others) == pytest.approx(5 / (10 * cores))
    stolen = replace(busy, stolen_seconds=(before.stolen_seconds or 0) + 2)
    assert environment.foreign_load(busy_before, stolen) == pytest.approx(2 / (10 * cores))


def test_foreign_load_is_unknown_where_the_kernel_does_not_tell() -> None:
    dark = replace(environment.condition(), cpu_seconds=None)
    assert environment.foreign_load(dark, dark) is None


def test_the_drivers_table_is_read() -> None:
    rows = gpu.parse("0, NVIDIA H200, 570.1, 143771, 700.00, 1980, [N/A]\n", gpu._FACTS)
    assert rows[0]["name"] == "NVIDIA H200"
    assert rows[0]["power.limit"] == 700
    assert rows[0]["clocks.max.memory"] is None


@pytest.mark.parametrize(
    ("mask", "names"),
    [
        ("0x0000000000000000", []),
        ("0x0000000000000001", ["idle"]),
        ("0x0000000000000024", ["software power cap", "software thermal slowdown"]),
        (None, []),
    ],
)
def test_throttle_reasons_have_names(mask: str | None, names: list[str]) -> None:
    assert gpu.throttle_reasons(mask) == names


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert gpu.describe() == gpu.condition() == []
