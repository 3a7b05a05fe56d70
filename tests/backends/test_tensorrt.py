"""The TensorRT backend's own logic, without TensorRT: settings, the compiler process, reading precision back."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fastinst_rt.backends import tensorrt, tensorrt_build, tensorrt_inspection
from fastinst_rt.backends.base import EngineKey, no_progress
from fastinst_rt.backends.tensorrt import TensorRTBackend, run_compiler
from fastinst_rt.errors import EngineError
from fastinst_rt.models.zoo import create_model

_SETTINGS = tensorrt_build.compiler_settings("fp16", Path("/scratch"), "2.13.0")


def _compiler(code: str) -> list[str]:
    """A stand-in for the compiler process."""
    return [sys.executable, "-c", f"import json, os, signal, sys, time\n{code}"]


class TestSettings:
    def test_misspelt_setting_is_refused_and_not_swallowed(self) -> None:
        known = set(_SETTINGS)
        with pytest.raises(EngineError, match="has no setting attn_bias_is_casual"):
            tensorrt_build.checked_settings({**_SETTINGS, "attn_bias_is_casual": False}, known, known)

    @pytest.mark.parametrize("where", ["known", "accepted"])
    def test_setting_must_be_a_field_and_a_parameter(self, where: str) -> None:
        sets = {"known": set(_SETTINGS), "accepted": set(_SETTINGS)}
        sets[where].remove("require_full_compilation")
        with pytest.raises(EngineError, match="has no setting require_full_compilation"):
            tensorrt_build.checked_settings(_SETTINGS, **sets)

    @pytest.mark.parametrize("release_has_it", [True, False])
    def test_explicit_typing_is_set_where_the_release_still_has_it(self, release_has_it: bool) -> None:
        known = set(_SETTINGS) if release_has_it else set(_SETTINGS) - {"use_explicit_typing"}
        assert ("use_explicit_typing" in tensorrt_build.checked_settings(_SETTINGS, known, known)) is release_has_it

    def test_fp32_means_no_tf32(self) -> None:
        assert tensorrt_build.compiler_settings("fp32", Path(), "2.13.0")["disable_tf32"] is True
        assert _SETTINGS["disable_tf32"] is False

    @pytest.mark.parametrize(
        ("release", "apart"), [("2.11.0", True), ("2.11.0+cu130", True), ("2.12.1", False), ("2.13.0", False)]
    )
    def test_attention_is_taken_apart_where_the_release_cannot_convert_it(self, release: str, apart: bool) -> None:
        assert tensorrt_build.compiler_settings("fp16", Path(), release)["decompose_attention"] is apart

    def test_precision_is_never_a_setting(self) -> None:
        assert "enabled_precisions" not in _SETTINGS
        assert _SETTINGS["attn_bias_is_causal"] is False
        assert _SETTINGS["require_full_compilation"] is True
        assert _SETTINGS["truncate_double"] is True


def test_source_line_is_the_innermost_frame() -> None:
    outer = 'File "/a/b/graph.py", line 3, in forward\n    net(x)\n'
    trace = f'{outer}  File "/a/b/c/d/queries.py", line 81, in forward\n    x.max(1)'
    assert tensorrt_build.source_line(trace) == "at c/d/queries.py:81: `x.max(1)`"
    assert tensorrt_build.source_line("") == "(source unknown)"


class TestCompilerProcess:
    def test_steps_are_passed_on_and_the_inspection_returned(self, tmp_path: Path) -> None:
        steps: list[str] = []
        code = """
print(json.dumps({"step": "one"}), flush=True)
print(json.dumps({"inspection": {"precision": "fp16"}}), flush=True)"""
        found = run_compiler(_compiler(code), tmp_path, lambda step, _: steps.append(step))
        assert found == {"precision": "fp16"}
        assert steps[0] == "one"

    def test_problem_becomes_an_engine_error(self, tmp_path: Path) -> None:
        code = """print(json.dumps({"problem": "No converter.", "remedy": "Use another."}), flush=True); sys.exit(5)"""
        with pytest.raises(EngineError) as caught:
            run_compiler(_compiler(code), tmp_path, no_progress)
        assert (caught.value.problem, caught.value.remedy) == ("No converter.", "Use another.")

    def test_crash_is_an_engine_error_with_signal_step_and_last_words(self, tmp_path: Path) -> None:
        code = """
print(json.dumps({"step": "compiling"}), flush=True)
print("tactic 7 is on fire", file=sys.stderr, flush=True)
os.kill(os.getpid(), signal.SIGSEGV)"""
        with pytest.raises(
            EngineError, match=r"crashed \(SIGSEGV\) while compiling; its last words: tactic 7 is on fire"
        ):
            run_compiler(_compiler(code), tmp_path, no_progress)

    def test_killed_for_memory(self, tmp_path: Path) -> None:
        with pytest.raises(EngineError, match=r"was killed \(SIGKILL\) while starting"):
            run_compiler(_compiler("os.kill(os.getpid(), signal.SIGKILL)"), tmp_path, no_progress)

    def test_silent_end_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(EngineError, match="ended with code 0"):
            run_compiler(_compiler(""), tmp_path, no_progress)

    def test_interrupt_ends_the_compiler(self, tmp_path: Path) -> None:
        def interrupt(step: str, done: float | None) -> None:
            del done
            (tmp_path / "pid").write_text(step)
            raise KeyboardInterrupt

        code = """print(json.dumps({"step": str(os.getpid())}), flush=True); time.sleep(60)"""
        with pytest.raises(KeyboardInterrupt):
            run_compiler(_compiler(code), tmp_path, interrupt)
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)

    def test_compiler_ends_with_its_parent(self) -> None:
        code = "from fastinst_rt.backends.tensorrt_build import _end_with_parent; _end_with_parent()"
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=60) == 1

    def test_real_process_reports_a_damaged_program(self, tmp_path: Path) -> None:
        """The real module, as far as it goes without Torch-TensorRT."""
        (tmp_path / tensorrt_build.PROGRAM).write_bytes(b"not a program")
        (tmp_path / tensorrt_build.REQUEST).write_text('{"precision": "fp16", "device_index": 0}')
        command = [sys.executable, "-m", "fastinst_rt.backends.tensorrt_build"]
        with pytest.raises(EngineError, match=r"The TensorRT build failed: \w+"):
            run_compiler(command, tmp_path, no_progress)

    @pytest.mark.parametrize("others", ["", "/somewhere/else"])
    def test_compiler_finds_the_package_of_an_uninstalled_checkout(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: str
    ) -> None:
        monkeypatch.setenv("PYTHONPATH", others)
        monkeypatch.chdir(tmp_path)
        code = """
paths = os.environ["PYTHONPATH"]
import fastinst_rt
print(json.dumps({"inspection": {"paths": paths, "file": fastinst_rt.__file__}}), flush=True)"""
        # -S: without site-packages, so without whatever is installed there
        found = run_compiler([sys.executable, "-S", *_compiler(code)[1:]], tmp_path, no_progress)
        package = Path(tensorrt.__file__).parents[1]
        assert Path(found["file"]).parent == package
        assert found["paths"].split(os.pathsep) == [str(package.parent), *filter(None, [others])]


class TestPrecision:
    def test_layers_are_counted_by_the_type_of_what_they_put_out(self) -> None:
        layers: list[Any] = [
            {"Name": "conv", "Outputs": [{"Dimensions": [1, 8, 4], "Format/Datatype": "Half"}]},
            {"Name": "old", "Outputs": [{"Dimensions": [8], "Format/Datatype": "Row major linear FP16 format"}]},
            {"Name": "top", "Outputs": [{"Dimensions": [2, 3], "Format/Datatype": "Float"}]},
            {"Name": "index", "Outputs": [{"Dimensions": [100], "Format/Datatype": "Int64"}]},
            "a layer of a plan without details",
        ]
        assert tensorrt_inspection.numbers_by_type(layers) == {"fp16": 40, "fp32": 6}

    @pytest.mark.parametrize(
        ("numbers", "precision"),
        [
            ({"fp16": 90, "fp32": 10}, "fp16"),
            ({"fp32": 100}, "fp32"),
            ({"fp16": 50, "fp32": 50}, "mixed"),
        ],
    )
    def test_verdict(self, numbers: dict[str, int], precision: str) -> None:
        assert tensorrt_inspection.mostly(numbers) == precision

    @pytest.mark.parametrize(("dtype", "precision"), [(torch.float16, "fp16"), (torch.float32, "fp32")])
    def test_weights_are_found_in_a_plan_that_no_gpu_can_load(self, dtype: torch.dtype, precision: str) -> None:
        weights = [torch.randn(40, 40), torch.randn(7, 9), torch.zeros(50, 50)]
        code = bytes(20_000)  # far more than the weights: the size says nothing
        plan = code + b"".join(weight.to(dtype).numpy().tobytes() for weight in weights) + code
        found = tensorrt_inspection.inspect_plan(plan, weights)
        assert (found["precision"], found["evidence"]) == (precision, "weights")
        assert found["weights"] == {precision: 40 * 40 + 7 * 9}  # zeros are found everywhere, and say nothing

    def test_half_the_weights_of_each_type_is_mixed(self) -> None:
        first, second = torch.randn(40, 40), torch.randn(40, 40)
        plan = first.numpy().tobytes() + second.half().numpy().tobytes()
        assert tensorrt_inspection.inspect_plan(plan, [first, second])["precision"] == "mixed"

    @pytest.mark.parametrize(("size", "precision"), [(24_000, "fp16"), (44_000, "fp32")])
    def test_size_decides_where_no_weight_is_found(self, size: int, precision: str) -> None:
        found = tensorrt_inspection.inspect_plan(b"x" * size, [torch.randn(100, 100)])
        assert (found["precision"], found["evidence"]) == (precision, "size")

    def test_layers_decide_where_a_gpu_can_load_the_plan(self, monkeypatch: pytest.MonkeyPatch) -> None:
        layers = [{"Outputs": [{"Dimensions": [8], "Format/Datatype": "Half"}]}]
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(tensorrt_inspection, "_layers", lambda _: layers)
        found = tensorrt_inspection.inspect_plan(b"x" * 99_000, [torch.randn(100, 100)])
        assert (found["precision"], found["evidence"], found["layers"]) == ("fp16", "layers", 1)


@pytest.fixture
def key() -> EngineKey:
    return EngineKey("fastinst-d1-r50", "", "tensorrt", "fp16", 1, (60, 90), (64, 96), "cuda", "", {})


def _stand_in(found: str, received: dict[str, Any]) -> Any:
    def compiler(command: Sequence[str], scratch: Path, progress: object) -> dict[str, Any]:
        del command, progress
        received["request"] = json.loads((scratch / tensorrt_build.REQUEST).read_text())
        received["program"] = torch.export.load(scratch / tensorrt_build.PROGRAM)
        (scratch / tensorrt_build.PLAN).write_bytes(b"plan")
        return {"precision": found, "evidence": "size", "bytes_per_weight": 4.1}

    return compiler


class TestBuild:
    def test_fp16_is_in_the_program_with_its_islands(
        self, key: EngineKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        received: dict[str, Any] = {}
        monkeypatch.setattr(tensorrt, "run_compiler", _stand_in("fp16", received))
        net = create_model(key.model)
        facts = TensorRTBackend().build(net, key, tmp_path, [], no_progress)
        assert facts.files == ["engine.plan"]
        assert [path.name for path in tmp_path.iterdir()] == ["engine.plan"]
        types = {name: tensor.dtype for name, tensor in received["program"].state_dict.items()}
        islands = {name for name, dtype in types.items() if dtype == torch.float32}
        assert islands
        assert all(name.startswith(("net.queries.", "net.normalize.")) for name in islands)
        assert torch.float16 in types.values()
        assert next(net.parameters()).dtype == torch.float32  # the caller's network stays as it was

    def test_other_precision_than_asked_for_fails(
        self, key: EngineKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tensorrt, "run_compiler", _stand_in("fp32", {}))
        small = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(2),))
        monkeypatch.setattr(tensorrt, "export", lambda *_: small)
        with pytest.raises(EngineError, match=r"was asked for fp16 and built fp32 \(4.1 bytes a weight\)"):
            TensorRTBackend().build(create_model(key.model), key, tmp_path, [], no_progress)


def test_plan_is_compiled_on_the_gpu_that_the_key_names(
    key: EngineKey, tmp_path: Path, two_gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    received: dict[str, Any] = {}
    monkeypatch.setattr(tensorrt, "run_compiler", _stand_in("fp16", received))
    small = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(2),))
    monkeypatch.setattr(tensorrt, "export", lambda *_: small)
    for index, name in enumerate(two_gpus):
        TensorRTBackend().build(create_model(key.model), replace(key, hardware=name), tmp_path, [], no_progress)
        assert received["request"]["device_index"] == index


class TestObstacle:
    @pytest.fixture
    def gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))

    @pytest.fixture
    def versions(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
        installed = {"torch-tensorrt": "2.13.0", "tensorrt": "11.0.0"}
        monkeypatch.setattr(tensorrt, "_version", installed.get)
        monkeypatch.setattr(tensorrt, "flavour", lambda: "tensorrt")
        monkeypatch.setattr(torch, "__version__", "2.13.0+cu130")
        return installed

    def test_none_where_all_is_there(self, gpu: None, versions: dict[str, str]) -> None:
        del gpu, versions
        assert TensorRTBackend().obstacle("cuda", "fp16") is None

    def test_no_gpu(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        for device in ("cpu", "cuda"):
            obstacle = TensorRTBackend().obstacle(device)
            assert obstacle is not None
            assert "PyTorch sees none" in obstacle.reason

    @pytest.mark.parametrize(
        ("change", "reason", "remedy"),
        [
            ({"torch-tensorrt": None}, "torch-tensorrt is not installed", "fastinst-rt[tensorrt]"),
            ({"torch-tensorrt": "2.12.1"}, "does not go with torch 2.13.0", "torch-tensorrt==2.13.*"),
            ({"torch-tensorrt": "2.14.0"}, "has not been tried", "torch-tensorrt==2.13.*"),
            ({"tensorrt": None}, "tensorrt is not", "pip install tensorrt"),
        ],
    )
    def test_installation(
        self, gpu: None, versions: dict[str, str], change: dict[str, str], reason: str, remedy: str
    ) -> None:
        del gpu
        versions.update(change)
        obstacle = TensorRTBackend().obstacle("cuda")
        assert obstacle is not None
        assert reason in obstacle.reason
        assert remedy in obstacle.remedy

    def test_old_gpu_and_unknown_precision(self, gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
        del gpu
        assert "no int8" in str(TensorRTBackend().obstacle("cuda", "int8"))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
        assert "capability 7.0" in str(TensorRTBackend().obstacle("cuda"))

    def test_the_gpu_asked_for_counts_and_not_the_first(
        self, gpu: None, versions: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        del gpu, versions
        monkeypatch.setattr(torch.cuda, "get_device_capability", {"cuda:0": (7, 0), "cuda:1": (8, 9)}.get)
        assert TensorRTBackend().obstacle("cuda:0") is not None
        assert TensorRTBackend().obstacle("cuda:1") is None

    def test_libraries_are_what_a_plan_is_bound_to(self, versions: dict[str, str]) -> None:
        assert TensorRTBackend().libraries() == {"torch": "2.13.0+cu130", **versions}


def test_precisions() -> None:
    assert TensorRTBackend().precisions("cpu") == ()
    assert TensorRTBackend().precisions("cuda") == ("fp16", "fp32")
