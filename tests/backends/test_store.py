"""Nothing but the very engine that was proven is ever loaded; whatever else is found is refused, and repaired."""

import json
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from fastinst_rt.backends import maker as maker_module
from fastinst_rt.backends.base import EngineKey
from fastinst_rt.backends.maker import DeviceMemoryError, UnloadableEngineError
from fastinst_rt.backends.manifest import MANIFEST_NAME, read_manifest, write_manifest
from fastinst_rt.backends.store import EngineStore, default_engine_dir, engine_name
from fastinst_rt.errors import EngineError, EngineRefusedError, ParityError

from .tiny import FakeBackend, TinyNet, run_both, tiny_maker

CHANGED = {
    "model": ("other", "holds the model tiny, not other"),
    "weights_sha256": ("cd" * 32, "built from other weights (abababababab, not cdcdcdcdcdcd)"),
    "backend": ("another", "an engine for fake, not another"),
    "precision": ("fp16", "runs in fp32, not fp16"),
    "batch": (2, "takes batches of 1, not 2"),
    "resized": ((96, 64), "takes pictures of 64x96, not 96x64"),
    "padded": ((96, 96), "its network sees 64x96, not 96x96"),
    "device": ("cuda", "runs on cpu, not on cuda"),
    "hardware": ("Other GPU, compute capability 8.6", "this machine is Other GPU, compute capability 8.6"),
    "libraries": ({"fake": "1.1"}, "built with fake 1.0, installed is 1.1"),
    "architecture": ("0123", "built with other switches"),
}


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


def test_the_table_covers_every_field_of_the_key() -> None:
    assert list(CHANGED) == [field.name for field in fields(EngineKey)]


@pytest.mark.parametrize("field", CHANGED)
def test_engine_of_another_key_is_not_found(field: str, tmp_path: Path, backend: FakeBackend) -> None:
    maker = tiny_maker(tmp_path)
    maker.build(backend, "fp32")
    value, reason = CHANGED[field]
    other = replace(maker.key(backend, "fp32"), **{field: value})
    with pytest.raises(EngineRefusedError) as refusal:
        maker.store.check(other)
    if field not in ("model", "backend"):  # an engine of another model or backend is no near miss
        assert reason in refusal.value.problem
    assert "fastinst-rt compile" in refusal.value.remedy


@pytest.mark.parametrize("field", CHANGED)
def test_engine_of_another_key_in_the_right_place_is_refused(field: str, tmp_path: Path, backend: FakeBackend) -> None:
    maker = tiny_maker(tmp_path)
    maker.build(backend, "fp32")
    key = maker.key(backend, "fp32")
    value, reason = CHANGED[field]
    other = replace(key, **{field: value})
    maker.store.path(key).rename(maker.store.path(other))
    with pytest.raises(EngineRefusedError, match=re.escape(reason)) as refusal:
        maker.store.check(other)
    height, width = other.resized
    assert f"compile {other.model} --backend {other.backend} --precision {other.precision}" in refusal.value.remedy
    assert f"--batch {other.batch} --input {height}x{width} --device {other.device}" in refusal.value.remedy


@pytest.mark.parametrize("field", CHANGED)
def test_every_field_changes_the_name(field: str, tmp_path: Path, backend: FakeBackend) -> None:
    key = tiny_maker(tmp_path).key(backend, "fp32")
    assert engine_name(replace(key, **{field: CHANGED[field][0]})) != engine_name(key)


def _edit(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / MANIFEST_NAME
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return edit


def _flip_a_byte(folder: Path) -> None:
    content = bytearray((folder / "model.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.npz").write_bytes(content)


def _truncate(folder: Path) -> None:
    content = (folder / "model.npz").read_bytes()
    (folder / "model.npz").write_bytes(content[:-1])


def _point_elsewhere(folder: Path) -> None:
    manifest = read_manifest(folder, "")
    outside = folder.parent / "outside.bin"
    outside.write_bytes(b"")
    write_manifest(folder, replace(manifest, files={"../outside.bin": manifest.files["more.bin"]}))


def _other_precision(folder: Path) -> None:
    write_manifest(folder, replace(read_manifest(folder, ""), precision_found="fp16"))


def _unproven(folder: Path) -> None:
    write_manifest(folder, replace(read_manifest(folder, ""), verified=False))


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a byte flipped": (_flip_a_byte, "File model.npz of engine .* is damaged"),
    "truncated": (_truncate, "File model.npz of engine .* is damaged"),
    "file missing": (lambda folder: (folder / "model.npz").unlink(), "lacks its file model.npz"),
    "file elsewhere": (_point_elsewhere, "lacks its file ../outside.bin"),
    "manifest missing": (lambda folder: (folder / MANIFEST_NAME).unlink(), "no readable manifest"),
    "manifest empty": (lambda folder: (folder / MANIFEST_NAME).write_text(""), "is not valid JSON"),
    "manifest half": (lambda folder: (folder / MANIFEST_NAME).write_text('{"format": 1,'), "is not valid JSON"),
    "manifest binary": (lambda folder: (folder / MANIFEST_NAME).write_bytes(b"\xff\xfe\x00"), "is not valid JSON"),
    "manifest a list": (lambda folder: (folder / MANIFEST_NAME).write_text("[]"), "is not a JSON object"),
    "verified by hand": (_edit(lambda m: m.update(verified="yes")), "was changed after it was written"),
    "hash by hand": (_edit(lambda m: m["files"]["model.npz"].update(sha256="0")), "was changed after it was written"),
    "weights by hand": (_edit(lambda m: m["key"].update(weights_sha256="0")), "was changed after it was written"),
    "no seal": (_edit(lambda m: m.pop("seal")), "was changed after it was written"),
    "other format": (_edit(lambda m: m.update(format=0)), "has format 0"),
    "other precision inside": (_other_precision, "was asked for in fp32 but is fp16"),
    "parity failed": (_unproven, "did not pass the parity gate"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_engine_is_refused_then_repaired(damage: str, tmp_path: Path, backend: FakeBackend) -> None:
    maker = tiny_maker(tmp_path)
    maker.build(backend, "fp32")
    spoil, reason = DAMAGE[damage]
    spoil(maker.store.path(maker.key(backend, "fp32")))
    backend.loaded.clear()
    with pytest.raises(EngineRefusedError, match=reason):
        maker.load(backend, "fp32")
    assert backend.loaded == []  # refused before anything of it was read
    said: list[str] = []
    engine = maker.get(backend, "fp32", on_progress=lambda step, _: said.append(step))
    assert re.search(reason, said[0])
    expected, found = run_both(maker, engine)
    assert expected.equal(found)
    maker.load(backend, "fp32")


def test_other_weights_never_come_out_of_the_store(tmp_path: Path, backend: FakeBackend) -> None:
    tiny_maker(tmp_path, TinyNet(0), weights_sha256="00" * 32).get(backend, "fp32")
    maker = tiny_maker(tmp_path, TinyNet(1), weights_sha256="11" * 32)
    expected, found = run_both(maker, maker.get(backend, "fp32"))
    assert expected.equal(found)
    assert len(maker.store.names()) == 2


def test_ablation_with_the_same_weights_gets_its_own_engine(tmp_path: Path, backend: FakeBackend) -> None:
    net, ablation = TinyNet(), TinyNet()
    ablation.spec = replace(ablation.spec, local_maximum_first=False)
    renamed = TinyNet()
    renamed.spec = replace(renamed.spec, ap_val=1.0)
    keys = [tiny_maker(tmp_path, one).key(backend, "fp32") for one in (net, ablation, renamed)]
    assert keys[0] != keys[1]
    assert keys[0] == keys[2]


def test_stored_engine_is_used_again(tmp_path: Path, backend: FakeBackend) -> None:
    maker = tiny_maker(tmp_path)
    for _ in range(3):
        engine = maker.get(backend, "fp32")
    assert backend.built == ["fp32"]
    assert engine.info.verified
    assert engine.info.folder == maker.store.path(maker.key(backend, "fp32"))


def test_manifest_says_what_was_found(tmp_path: Path, backend: FakeBackend) -> None:
    maker = tiny_maker(tmp_path, batch=3)
    manifest = maker.build(backend, "fp32")
    assert read_manifest(maker.store.path(manifest.key), "") == manifest
    assert manifest.parity["passed"]
    assert manifest.parity["batch"] == 3
    assert manifest.parity["instances"] >= 40
    assert manifest.build["latency_ms"] > 0
    assert manifest.build["eager_ms"] > 0
    assert manifest.inspection == {"operators": 4}


def test_engine_of_another_precision_is_not_stored(tmp_path: Path, backend: FakeBackend) -> None:
    backend.precision_found = "fp16"
    maker = tiny_maker(tmp_path)
    with pytest.raises(EngineError, match="asked for fp32, but what it built runs in fp16"):
        maker.get(backend, "fp32")
    assert maker.store.names() == []


def test_engine_under_the_gate_is_not_stored(tmp_path: Path, backend: FakeBackend) -> None:
    backend.noise = 1.0
    maker = tiny_maker(tmp_path)
    with pytest.raises(ParityError, match="not stored"):
        maker.get(backend, "fp32")
    assert maker.store.names() == []
    assert not maker.get(backend, "fp32", allow_unverified=True).info.verified
    with pytest.raises(EngineRefusedError, match="did not pass the parity gate"):
        maker.load(backend, "fp32")


def test_failed_rebuild_keeps_the_good_engine(tmp_path: Path, backend: FakeBackend) -> None:
    maker = tiny_maker(tmp_path)
    maker.build(backend, "fp32")
    backend.noise = 1.0
    with pytest.raises(ParityError):
        maker.build(backend, "fp32", rebuild=True)
    backend.noise = 0.0
    maker.load(backend, "fp32")
    assert maker.store.leftovers() == []


@pytest.mark.parametrize("error", [EngineError("It is of no use.", "Build it anew."), RuntimeError("no kernel image")])
def test_intact_engine_that_does_not_load_is_built_anew_once(
    tmp_path: Path, backend: FakeBackend, error: Exception
) -> None:
    maker = tiny_maker(tmp_path)
    maker.build(backend, "fp32")
    backend.load_errors = [error]
    with pytest.raises(UnloadableEngineError) as refusal:
        maker.load(backend, "fp32")
    assert "--device cpu --rebuild` (with" in refusal.value.remedy
    backend.load_errors = [error]
    maker.get(backend, "fp32")
    assert backend.built == ["fp32", "fp32"]
    backend.load_errors = [error] * 9
    with pytest.raises(EngineError):
        maker.get(backend, "fp32")
    assert backend.built == ["fp32"] * 3


def test_full_gpu_is_no_reason_to_build_anew(tmp_path: Path, backend: FakeBackend) -> None:
    maker = tiny_maker(tmp_path)
    maker.build(backend, "fp32")
    backend.load_errors = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB.\nMore words")]
    with pytest.raises(
        DeviceMemoryError, match=r"cannot be loaded on .*: CUDA out of memory\. Tried .* 20 MiB\. Close"
    ):
        maker.get(backend, "fp32")
    assert backend.built == ["fp32"]


@pytest.mark.parametrize("step", ["build", "load", "prove"])
def test_cuda_errors_of_a_new_engine_are_engine_errors(
    tmp_path: Path, backend: FakeBackend, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: no kernel image is available\nCompile with TORCH_USE_CUDA_DSA.")

    monkeypatch.setattr(maker_module if step == "prove" else backend, step, fail)
    maker = tiny_maker(tmp_path)
    with pytest.raises(EngineError, match="CUDA error: no kernel image is available") as error:
        maker.get(backend, "fp32")
    assert error.value.exit_code == 5
    assert "TORCH_USE" not in str(error.value)
    assert "another --backend" in error.value.remedy
    assert maker.store.names() == maker.store.leftovers() == []


def test_a_store_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path, backend: FakeBackend) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="cannot be written") as error:
        tiny_maker(tmp_path / "file" / "engines").get(backend, "fp32")
    assert "--engine-dir" in error.value.remedy


def test_engine_dir_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTINST_RT_ENGINE_DIR", str(tmp_path))
    assert default_engine_dir() == tmp_path
    assert EngineStore().folder == tmp_path
