"""The GPU check's own logic, run on the CPU with a small picture."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from fastinst_rt.bench.protocol import Protocol

_ROOT = Path(__file__).parents[2]
_SHORT = Protocol(
    samples=2, seconds=0.1, least_samples=2, least_seconds=0.0, most_samples=4, warm_up=0.0, warm_up_limit=0.1, blocks=2
)


@pytest.fixture
def gpu_check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(_ROOT)
    from benchmarks import gpu_check

    return gpu_check


@pytest.fixture
def plan(gpu_check: ModuleType) -> Any:
    from benchmarks.gpu_run import Case

    return gpu_check.Plan(
        device="cpu",
        cases=(Case("fastinst-d1-r50", (60, 90), goal=0.001), Case("no-such-model", (64, 96))),
        contenders=(("eager", "fp32"), ("eager", "fp16"), ("tensorrt", "fp16"), ("no-such-backend", "fp16")),
        frame=(120, 180),
        protocol=_SHORT,
    )


def test_every_part_is_in_the_report_whatever_fails(gpu_check: ModuleType, plan: Any, tmp_path: Path) -> None:
    said: list[str] = []
    kept: list[dict[str, Any]] = []
    report = json.loads(json.dumps(gpu_check.run(plan, tmp_path, said.append, kept.append), default=str))
    parts = report["parts"]
    assert list(parts) == [
        "backends",
        "masks on the device",
        "builds",
        "fastinst-d1-r50 64x96",
        "no-such-model 64x96",
        "frame to instances",
        "risky builds",
    ]
    case = parts["fastinst-d1-r50 64x96"]
    assert "failed" not in case
    assert case["engines"]["eager fp16"]["left_out"] == "eager has no fp16 on cpu"
    assert case["engines"]["tensorrt fp16"]["left_out"] == "it was not built"
    assert "PyTorch sees none" in parts["builds"]["fastinst-d1-r50 64x96, tensorrt fp16"]["left_out"]
    failed = parts["builds"]["fastinst-d1-r50 64x96, no-such-backend fp16"]
    assert failed["failed"].startswith("KeyError")
    assert "no-such-backend" in failed["traceback"]
    assert case["latency"]["eager fp32"]["p50_ms"] > 0
    assert case["latency"]["eager fp32, throughput"]["x_reference"] > 0
    assert case["eager_fp32_without_tf32"]["fps"] > 0
    assert "fastinst-d1-r50" in report["weights"]

    assert "no-such-model" in parts["no-such-model 64x96"]["failed"]
    assert parts["frame to instances"]["engine"] == "eager fp32"
    assert parts["frame to instances"]["engine_ms"] > 0
    for masks in (parts["masks on the device"]["5 instances"], parts["masks on the device"]["30 instances"]):
        assert masks["on_device"] == masks["on_host"] > 0
        assert masks["same_classes"]
        assert masks["least_iou"] >= 0.99
        assert len(masks["timings"]) == 4
    assert "PyTorch sees none" in parts["risky builds"]["fastinst-d1-r50 64x96, batch of 4"]["left_out"]
    assert "PyTorch sees none" in parts["risky builds"]["fastinst-d1-r50dcn 64x96, batch of 1"]["left_out"]
    goal = report["goals"]["fastinst-d1-r50 64x96"]
    assert goal["engine"] == "eager fp32"
    assert goal["reached"] is True
    assert any("no-such-model" in line for line in said)
    assert len(kept) == len(parts)  # the report as it stood after each part


def test_build_begins_only_if_it_can_end_in_time(gpu_check: ModuleType, plan: Any, tmp_path: Path) -> None:
    check = gpu_check.Check(plan, tmp_path)
    assert check.time_for("tensorrt")
    check.build_seconds["tensorrt"] = 60 * plan.minutes
    assert not check.time_for("tensorrt")
    assert check.time_for("eager")


def test_engine_that_is_stored_is_opened_with_its_manifest(
    gpu_check: ModuleType, plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiled contender, with a stand-in for the compiler."""
    from benchmarks import gpu_engines
    from fastinst_rt.backends import registry
    from fastinst_rt.backends.base import BuildFacts, EngineInfo
    from fastinst_rt.backends.eager import EagerEngine

    class Stored:
        name = "stored"

        def precisions(self, device: str) -> tuple[str, ...]:
            del device
            return ("fp32",)

        def obstacle(self, device: str, precision: str | None = None) -> None:
            del device, precision

        def libraries(self) -> dict[str, str]:
            return {}

        def build(self, net: torch.nn.Module, key: Any, folder: Path, pictures: Any, progress: Any) -> BuildFacts:
            del pictures, progress
            self.net, self.key = net, key
            (folder / "engine").write_bytes(b"engine")
            return BuildFacts(["engine"], "fp32", {"operators": 1})

        def load(self, folder: Path, key: Any, options: Any) -> EagerEngine:
            engine = EagerEngine(self.net, key.resized, key.batch, options.device)
            engine.info = EngineInfo.of(key, options.device, folder)
            return engine

    monkeypatch.setitem(registry.BACKENDS, "stored", Stored())
    check = gpu_check.Check(plan, tmp_path)
    row: dict[str, Any] = {}
    gpu_engines.build(check, plan.cases[0], "stored fp32", row)
    assert row["precision_found"] == "fp32"
    assert row["inspection"] == {"operators": 1}
    assert row["parity"]["passed"] is True
    assert row["build"]["seconds"] >= 0
    assert check.build_seconds["stored"] > 0
    assert (plan.cases[0], "stored fp32") in check.built
    assert gpu_engines._open(check, plan.cases[0], "stored fp32", {}).info.backend == "stored"


def test_name_of_the_result(gpu_check: ModuleType, tmp_path: Path) -> None:
    path = gpu_check.default_path("NVIDIA H100 80GB HBM3, compute capability 9.0", tmp_path)
    assert path.name.startswith("nvidia-h100-80gb-hbm3-20")
    assert path.suffix == ".json"


def test_refuses_to_run_without_a_gpu(
    gpu_check: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu_check"])
    assert gpu_check.main() == 2
    assert "no CUDA device" in capsys.readouterr().err
