"""What the store keeps is judged against any of the machine's GPUs."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fastinst_rt.backends import care
from fastinst_rt.backends.store import EngineStore, engine_name

from .tiny import FakeBackend, tiny_maker


class TwoGpuBackend(FakeBackend):
    """Remembers which device it was asked about."""

    def obstacle(self, device, precision=None):  # noqa: ARG002
        self.asked = device


def _stored_for(folder: Path, backend: FakeBackend, hardware: str) -> EngineStore:
    """A store whose only engine is one built on a GPU of that name."""
    maker = tiny_maker(folder)
    manifest = maker.build(backend, "fp32")
    here = maker.store.path(manifest.key)
    key = replace(manifest.key, device="cuda", hardware=hardware)

    def copy(work: Path):
        for name in manifest.files:
            shutil.copy(here / name, work)
        return replace(manifest, key=key)

    maker.store.add(key, copy)
    maker.store.remove(here.name)
    assert maker.store.names() == [engine_name(key)]
    return maker.store


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> TwoGpuBackend:
    fake = TwoGpuBackend()
    monkeypatch.setattr(care, "BACKENDS", {"fake": fake})
    return fake


@pytest.mark.parametrize("index", [0, 1])
def test_engine_of_any_visible_gpu_is_kept(tmp_path: Path, backend, two_gpus: list[str], index: int) -> None:
    store = _stored_for(tmp_path, backend, two_gpus[index])
    assert [one.refusal for one in care.describe(store)] == [None]
    assert backend.asked == f"cuda:{index}"
    assert care.prune(store) == []
    assert len(store.names()) == 1


def test_engine_of_a_gpu_that_is_not_here_is_pruned(
    tmp_path: Path, backend, two_gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _stored_for(tmp_path, backend, "NVIDIA A100, compute capability 8.0")
    ((_, reason),) = care.prune(store, dry_run=True)
    assert f"this machine is {two_gpus[0]}" in reason
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ((_, reason),) = care.prune(store)
    assert "there is no CUDA device here" in reason
    assert store.names() == []
