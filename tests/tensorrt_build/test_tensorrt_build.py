"""Every network becomes one real TensorRT(-RTX) engine, on a machine without a GPU.

Proves that each operator converts, that nothing falls back, that FP16 weights are FP16, and that an operator without a
converter is named. It cannot prove numbers: that needs a GPU. Runs only when it is asked for by its marker:

    pytest -m tensorrt_build

The environment of make_env.py (0.3 GB) is made in `.venv-tensorrt`, or in $FASTINST_TENSORRT_ENV, and kept.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.tensorrt_build, pytest.mark.timeout(1800)]

_HERE = Path(__file__).parent
_SMALL = (320, 416)  # operators are the same at any size, and the compiler is quicker

# Two compilers at a time: each list is one process.
_BUILDS = (
    (
        ("fastinst-d1-r50", "fp16", (576, 768)),
        ("fastinst-d1-r50dcn", "fp16", _SMALL),
        ("fastinst-d3-r101", "fp16", _SMALL),
        ("fastinst-nano", "fp16", _SMALL),
        ("unconvertible", "fp16", (64, 96)),
    ),
    (
        ("fastinst-d1-r50", "fp32", (576, 768)),
        ("fastinst-d3-r50", "fp16", _SMALL),
        ("fastinst-d3-r50dcn", "fp16", _SMALL),
        ("mask2former-light-r50", "fp16", _SMALL),
    ),
)
_NETWORKS = sorted({model for builds in _BUILDS for model, _, _ in builds} - {"unconvertible"})

Results = dict[tuple[str, str], dict[str, Any]]


@pytest.fixture(scope="session")
def environment(request: pytest.FixtureRequest) -> Path:
    """Python of the throw-away environment."""
    if "tensorrt_build" not in request.config.option.markexpr:
        pytest.skip("builds real engines for minutes; ask for it with -m tensorrt_build")
    folder = os.environ.get("FASTINST_TENSORRT_ENV") or str(_HERE.parents[1] / ".venv-tensorrt")
    command = [sys.executable, str(_HERE / "make_env.py"), folder]
    return Path(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip())


@pytest.fixture(scope="session")
def results(environment: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What came out of each build, seconds and sizes included; printed for the log whatever pytest captures."""
    logs = tmp_path_factory.mktemp("logs")
    variables = os.environ | {"FASTINST_PRETEND_GPU": "1", "PYTHONPATH": str(_HERE.parents[1])}
    drivers = []
    for number, builds in enumerate(_BUILDS):
        wanted = [str(word) for model, precision, size in builds for word in (model, precision, *size)]
        with (logs / f"{number}.log").open("wb") as log:
            command = [str(environment), str(_HERE / "build.py"), *wanted]
            drivers.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=variables))
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    found: Results = {}
    try:
        for number, driver in enumerate(drivers):
            lines = driver.communicate()[0].splitlines()
            assert driver.returncode == 0, (logs / f"{number}.log").read_text()[-3000:]
            for (model, precision, _), line in zip(_BUILDS[number], lines, strict=True):
                found[model, precision] = json.loads(line)
                with capture.global_and_fixture_disabled():
                    print(f"\n{line}", end="", flush=True)
    finally:
        for driver in drivers:
            driver.kill()
    return found


@pytest.mark.parametrize("model", _NETWORKS)
def test_network_becomes_one_fp16_engine(results: Results, model: str) -> None:
    built = results[model, "fp16"]
    assert "problem" not in built, built["problem"]
    assert built["files"] == ["engine.plan"]
    assert (built["precision"], built["evidence"]) == ("fp16", "weights")
    assert built["weights"]["fp16"] > 20 * built["weights"].get("fp32", 0)


def test_fp16_plan_is_about_half_of_the_fp32_plan(results: Results) -> None:
    half, full = results["fastinst-d1-r50", "fp16"], results["fastinst-d1-r50", "fp32"]
    assert full["precision"] == "fp32"
    assert "fp16" not in full["weights"]
    assert 0.4 < half["plan_bytes"] / full["plan_bytes"] < 0.65


def test_operator_without_converter_is_named_with_its_source_line(results: Results) -> None:
    problem = results["unconvertible", "fp16"]["problem"]
    assert "no converter for aten.all.dim at tests/tensorrt_build/build.py:" in problem
    assert "return (x < 0).all(-1)" in problem
    assert "Use --backend inductor" in problem
