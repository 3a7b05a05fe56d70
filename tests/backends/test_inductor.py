"""The inductor backend: what it needs, what it reads back, and one real package on the CPU."""

import contextlib
import importlib.util
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils import cpp_extension

from fastinst_rt.backends import inductor
from fastinst_rt.backends.base import RunOptions, no_progress
from fastinst_rt.backends.inductor import InductorBackend, _inspect
from fastinst_rt.errors import EngineError

from .tiny import run_both, tiny_maker


def _package(path: Path, constants: list[tuple[str, int]]) -> Path:
    lines = []
    for index, (dtype, size) in enumerate(constants):
        lines += [
            f'    constants_info_[{index}].name = "weight";',
            f"    constants_info_[{index}].dtype = cached_torch_dtype_{dtype};",
            f"    constants_info_[{index}].device_type = cached_torch_device_type_cuda;",
            f"    constants_info_[{index}].offset = 0;",
            f"    constants_info_[{index}].data_size = {size};",
        ]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data/aotinductor/model/x.wrapper.cpp", "\n".join(lines))
        archive.writestr("model/data/aotinductor/model/x.wrapper.so", b"")
    return path


@pytest.mark.parametrize(
    ("constants", "precision"),
    [
        ([("float32", 4000), ("int64", 80)], "fp32"),
        ([("float16", 4000), ("float32", 900)], "fp16"),
        ([("float16", 900), ("float32", 4000)], "fp32"),
        ([("int64", 80)], "unknown"),
    ],
)
def test_precision_is_that_of_most_of_the_weights(tmp_path: Path, constants, precision: str) -> None:
    inspection = _inspect(_package(tmp_path / "model.pt2", constants))
    assert inspection["precision"] == precision
    assert sum(inspection["constant_bytes"].values()) == sum(size for _, size in constants)


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    obstacle = InductorBackend().obstacle("cpu")
    assert "there is no no-such-compiler" in obstacle.reason
    assert "apt install g++" in obstacle.remedy


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU, and all that inductor needs for one but the CUDA toolkit."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(inductor, "_compiler", lambda: sys.executable)
    monkeypatch.setattr(cpp_extension, "IS_HIP_EXTENSION", False)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_without_the_cuda_toolkit_it_says_so(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(cpp_extension, "CUDA_HOME", None)
    obstacle = InductorBackend().obstacle(device)
    assert "needs the CUDA toolkit" in obstacle.reason
    assert obstacle.remedy == "Install the CUDA toolkit, or set $CUDA_HOME to where it is."
    monkeypatch.setattr(cpp_extension, "CUDA_HOME", "/opt/cuda")
    assert InductorBackend().obstacle(device, "fp16") is None


def test_it_compiles_on_the_gpu_that_the_key_names(
    tmp_path: Path, two_gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    current: list[int] = [0]
    seen: dict[str, list[int]] = {"export": [], "_compile": []}

    @contextlib.contextmanager
    def device(index: int) -> Iterator[None]:
        current.append(index)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(inductor, "_inspect", lambda _: {"precision": "fp16"})
    for step, indices in seen.items():
        monkeypatch.setattr(inductor, step, lambda *_, indices=indices: indices.append(current[-1]))
    maker, backend = tiny_maker(tmp_path), InductorBackend()
    key = replace(maker.key(backend, "fp16"), device="cuda")
    for name in two_gpus:
        backend.build(maker.net, replace(key, hardware=name), tmp_path, [], no_progress)
    assert seen == {"export": [0, 1], "_compile": [0, 1]}


def test_what_it_can_do() -> None:
    backend = InductorBackend()
    assert backend.precisions("cuda")[0] == "fp16"
    assert backend.precisions("cpu") == ("fp32",)
    assert "no fp16 on cpu" in backend.obstacle("cpu", "fp16").reason


def test_a_package_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(b"not a package")
    backend = InductorBackend()
    with pytest.raises(EngineError, match="inductor cannot load"):
        backend.load(tmp_path, tiny_maker(tmp_path).key(backend, "fp32"), RunOptions())


@pytest.mark.slow
def test_a_package_is_built_proven_and_loaded(tmp_path: Path) -> None:
    backend = InductorBackend()
    if obstacle := backend.obstacle("cpu"):
        pytest.skip(obstacle.reason)
    maker = tiny_maker(tmp_path)
    manifest = maker.build(backend, "fp32")
    assert manifest.precision_found == "fp32"
    assert list(manifest.files) == ["model.pt2"]
    folder = maker.store.path(manifest.key)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.pt2"]
    expected, found = run_both(maker, maker.load(backend, "fp32"))
    assert (found - expected).abs().max() < 1e-3
