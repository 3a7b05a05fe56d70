"""`auto` takes the fastest engine that is installed, proven and fits, and says why."""

from pathlib import Path

import pytest
import torch

from fastinst_rt.backends import auto, registry
from fastinst_rt.backends.base import Obstacle
from fastinst_rt.backends.manifest import read_manifest, write_manifest
from fastinst_rt.backends.opening import open_engine
from fastinst_rt.errors import EngineError, UsageError

from .tiny import SIZE, FakeBackend, TinyNet, tiny_maker


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> tuple[FakeBackend, FakeBackend]:
    first, second = FakeBackend("first"), FakeBackend("second")
    table = {"first": first, "second": second}
    monkeypatch.setattr(registry, "BACKENDS", table)
    monkeypatch.setattr(auto, "BACKENDS", table)
    return first, second


def _open(folder: Path, **more: object):
    return open_engine(TinyNet(), model="tiny", resized=SIZE, device="cpu", engine_dir=folder, **more)


def _set_latency(folder: Path, backend: str, precision: str, milliseconds: float) -> None:
    """As if the engine had been this fast when it was built."""
    (engine,) = folder.glob(f"*.{backend}-{precision}.*")
    manifest = read_manifest(engine, "")
    manifest.build["latency_ms"] = milliseconds
    write_manifest(engine, manifest)


def test_the_preferred_one_is_built_and_used_again(tmp_path: Path, backends) -> None:
    first, second = backends
    for _ in range(2):
        engine = _open(tmp_path)
    assert engine.info.backend == "first"
    assert engine.info.precision == "fp32"
    assert "fastest that is proven here" in engine.info.reason
    assert engine.info.note is None
    assert first.built == ["fp32"]
    assert second.built == []


def test_what_is_not_installed_is_passed_over_with_its_reason(tmp_path: Path, backends) -> None:
    backends[0].missing = Obstacle("first is not installed", "Install it.")
    info = _open(tmp_path).info
    assert info.backend == "second"
    assert "not first: first is not installed" in info.reason
    assert info.passed_over == ("not first: first is not installed",)
    assert info.note is not None
    assert "second fp32 on cpu is a makeshift" in info.note


def test_what_fails_the_gate_is_passed_over_and_not_tried_again(tmp_path: Path, backends) -> None:
    first, second = backends
    first.noise = 1.0
    for _ in range(2):
        info = _open(tmp_path).info
        assert info.backend == "second"
        assert "not first: The first fp32 engine is not stored" in info.reason
    assert first.built == ["fp32"]
    assert second.built == ["fp32"]


def test_a_note_of_failure_is_forgotten_after_a_good_build(tmp_path: Path, backends) -> None:
    first, _ = backends
    first.noise = 1.0
    _open(tmp_path)
    first.noise = 0.0
    _open(tmp_path, backend="first")
    _set_latency(tmp_path, "first", "fp32", 0.001)
    assert _open(tmp_path).info.backend == "first"


def test_eager_is_what_is_left(tmp_path: Path, backends) -> None:
    for backend in backends:
        backend.missing = Obstacle(f"{backend.name} is not installed", "Install it.")
    info = _open(tmp_path).info
    assert info.backend == "eager"
    assert "not first" in info.reason
    assert "not second" in info.reason
    assert len(info.passed_over) == 2


@pytest.mark.usefixtures("backends")
def test_int8_is_never_built_by_itself_but_used_where_proven_and_faster(tmp_path: Path) -> None:
    assert _open(tmp_path).info.precision == "fp32"
    _open(tmp_path, backend="first", precision="int8")
    _set_latency(tmp_path, "first", "fp32", 2.0)
    _set_latency(tmp_path, "first", "int8", 1.0)
    assert _open(tmp_path).info.precision == "int8"
    _set_latency(tmp_path, "first", "int8", 3.0)
    assert _open(tmp_path).info.precision == "fp32"
    assert _open(tmp_path, precision="int8").info.precision == "int8"


def test_int8_under_the_gate_is_not_used(tmp_path: Path, backends) -> None:
    backends[0].noise = 3.0
    _open(tmp_path, backend="first", precision="int8", allow_unverified=True)
    backends[0].noise = 0.0
    _set_latency(tmp_path, "first", "int8", 0.001)
    assert _open(tmp_path).info.precision == "fp32"


def test_a_damaged_engine_is_built_anew(tmp_path: Path, backends) -> None:
    (engine,) = [path for path in [_open(tmp_path).info.folder] if path]
    (engine / "model.npz").write_bytes(b"")
    info = _open(tmp_path).info
    assert info.backend == "first"
    assert backends[0].built == ["fp32", "fp32"]


def test_a_cuda_error_passes_the_backend_over(tmp_path: Path, backends) -> None:
    first, second = backends
    first.load_errors = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.")]
    info = _open(tmp_path).info
    assert info.backend == "second"
    assert "not first: The first fp32 engine cannot be loaded on" in info.reason
    assert "CUDA out of memory" in info.reason
    assert second.built == ["fp32"]
    _open(tmp_path)
    assert first.built == ["fp32", "fp32"]  # there may be room now


def test_a_stored_engine_that_no_longer_loads_is_built_anew_once_and_then_passed_over(tmp_path: Path, backends) -> None:
    first, _ = backends
    _open(tmp_path)
    first.load_errors = [RuntimeError("no kernel image")] * 9
    info = _open(tmp_path).info
    assert info.backend == "eager"
    assert "no kernel image" in info.reason
    assert _open(tmp_path).info.backend == "second"
    assert first.built == ["fp32", "fp32"]


@pytest.mark.usefixtures("backends")
def test_a_full_disk_is_not_held_against_an_engine(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    info = _open(tmp_path / "file" / "engines").info
    assert info.backend == "eager"
    assert "cannot be written" in info.reason


def test_asking_by_name_says_why_not(tmp_path: Path, backends) -> None:
    backends[0].missing = Obstacle("first is not installed", "Install it.")
    with pytest.raises(EngineError, match="first is not installed") as error:
        _open(tmp_path, backend="first")
    assert error.value.remedy == "Install it."
    with pytest.raises(UsageError, match="no backend 'third'"):
        _open(tmp_path, backend="third")


@pytest.mark.usefixtures("backends")
def test_eager_by_name_builds_nothing(tmp_path: Path) -> None:
    assert _open(tmp_path, backend="eager").info.backend == "eager"
    assert tiny_maker(tmp_path).store.names() == []
    with pytest.raises(UsageError, match="no int8"):
        _open(tmp_path, backend="eager", precision="int8")
    with pytest.raises(UsageError, match="no device 'tpu'"):
        open_engine(TinyNet(), model="tiny", resized=SIZE, device="tpu", engine_dir=tmp_path)
