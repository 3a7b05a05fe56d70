"""The inductor backend: what it needs, what it reads back, and one real package on the CPU."""

import zipfile
from pathlib import Path

import pytest

from fastinst_rt.backends.base import RunOptions
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
