"""`compile` and `engines list|verify|inspect|prune`: what they print, delete and exit with."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fastinst_rt import segmenter
from fastinst_rt.backends import care, compiling, registry
from fastinst_rt.backends.base import Obstacle
from fastinst_rt.backends.store import EngineStore
from fastinst_rt.cli import app
from tests.backends.tiny import FakeBackend, TinyNet, tiny_maker

run = CliRunner(env={"COLUMNS": "200"})


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> FakeBackend:
    """The only backend there is, and a tiny network under every model name."""
    fake = FakeBackend()
    for module in (registry, care, compiling):
        monkeypatch.setattr(module, "BACKENDS", {"fake": fake})
    monkeypatch.setattr(segmenter, "named_network", lambda model, weights: (TinyNet(), "ab" * 32))  # noqa: ARG005
    return fake


@pytest.fixture
def stored(tmp_path: Path, backend: FakeBackend) -> Path:
    """A store with one engine; its folder."""
    maker = tiny_maker(tmp_path)
    return maker.store.path(maker.build(backend, "fp32").key)


def _run(folder: Path, *arguments: str):
    return run.invoke(app, [*arguments, "--engine-dir", str(folder)])


def test_compile_says_what_came_out_and_where(tmp_path: Path, backend: FakeBackend) -> None:
    result = _run(tmp_path, "compile", "tiny", "--input", "64x96", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert re.search(r"proven: 100\.0% of \d{2,} instances agree on 4 drawn pictures", result.stderr)
    assert "x eager FP32" in result.stderr
    assert Path(result.stdout.strip()).parent == tmp_path
    assert (Path(result.stdout.strip()) / "manifest.json").is_file()
    _run(tmp_path, "compile", "tiny", "--input", "64x96", "--device", "cpu")
    assert backend.built == ["fp32"]
    _run(tmp_path, "compile", "tiny", "--input", "64x96", "--device", "cpu", "--rebuild")
    assert backend.built == ["fp32", "fp32"]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ([], "54x96"),  # 1920x1080, short side 64, at most 96
        (["--frame", "640x480"], "64x85"),
        (["--for", "test:320x320@30"], "64x64"),
        (["--frame", "640x480", "--short-side", "32"], "32x43"),
    ],
)
def test_compile_takes_the_shape_from_the_frames(tmp_path: Path, options: list[str], shape: str) -> None:
    result = _run(tmp_path, "compile", "tiny", "--device", "cpu", *options)
    assert result.exit_code == 0, result.output
    assert f".b1.{shape}.cpu." in EngineStore(tmp_path).names()[0]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--input", "64x96", "--frame", "1x1"], 2, "each say the shape"),
        (["--input", "64by96"], 2, "is not a size"),
        (["--frame", "0x7"], 2, "is not a size"),
        (["--input", "64x96", "--backend", "eager"], 2, "nothing to compile"),
        (["--input", "64x96", "--backend", "other"], 2, "no backend 'other'"),
        (["--input", "64x96", "--device", "cuda:99"], 2, "CUDA devices"),
        (["--input", "64x96", "--parity-images", "/no/such/folder"], 3, "/no/such/folder"),
    ],
)
def test_compile_says_what_is_wrong(tmp_path: Path, options: list[str], code: int, said: str) -> None:
    result = _run(tmp_path, "compile", "tiny", *options)
    assert result.exit_code == code, result.output
    assert said in result.stderr


def test_compile_under_the_gate_ends_with_5(tmp_path: Path, backend: FakeBackend) -> None:
    backend.noise = 1.0
    result = _run(tmp_path, "compile", "tiny", "--input", "64x96", "--device", "cpu")
    assert result.exit_code == 5
    assert "is not stored" in result.stderr
    result = _run(tmp_path, "compile", "tiny", "--input", "64x96", "--device", "cpu", "--allow-unverified")
    assert result.exit_code == 0
    assert "under the parity gate, stored all the same" in result.stderr


def test_compile_names_the_obstacle(tmp_path: Path, backend: FakeBackend) -> None:
    backend.missing = Obstacle("fake is not installed", "Install it.")
    result = _run(tmp_path, "compile", "tiny", "--input", "64x96", "--device", "cpu")
    assert result.exit_code == 5
    assert "fake is not installed" in result.stderr


def test_list(stored: Path) -> None:
    result = _run(stored.parent, "engines", "list")
    assert result.exit_code == 0
    assert "tiny fake" in result.stdout
    assert "64x96" in result.stdout
    (row,) = json.loads(_run(stored.parent, "engines", "list", "--json").stdout)
    assert row["name"] == stored.name
    assert row["usable"]
    assert row["manifest"]["parity"]["passed"]


def test_list_of_nothing(tmp_path: Path) -> None:
    said = _run(tmp_path / "none [a]", "engines", "list").stdout
    assert "no engine yet" in said
    assert "none [a]" in said.replace("\n", "")


def test_verify_good(stored: Path) -> None:
    result = _run(stored.parent, "engines", "verify", stored.name)
    assert result.exit_code == 0
    assert f"good  {stored.name}" in result.stdout


def _damage(folder: Path, backend: FakeBackend) -> None:  # noqa: ARG001
    (folder / "model.npz").write_bytes(b"")


def _new_library(folder: Path, backend: FakeBackend) -> None:  # noqa: ARG001
    backend.version = "2.0"


def _rename(folder: Path, backend: FakeBackend) -> None:  # noqa: ARG001
    folder.rename(folder.parent / "tiny.renamed")


def _edit(folder: Path, backend: FakeBackend) -> None:  # noqa: ARG001
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"verified": true', '"verified": 1'))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_damage, "File model.npz of engine"),
        (_new_library, "it was built with fake 1.0, installed is 2.0"),
        (_rename, "was renamed"),
        (_edit, "was changed after it was written"),
    ],
)
def test_what_cannot_be_used_is_told_and_pruned(stored: Path, backend: FakeBackend, spoil, said: str) -> None:
    store = stored.parent
    spoil(stored, backend)
    result = _run(store, "engines", "verify")
    assert result.exit_code == 5
    assert said in result.stdout
    assert "1 of 1 engines cannot be used here" in result.stderr
    assert "would delete" in _run(store, "engines", "prune", "--dry-run").stdout
    assert len(EngineStore(store).names()) == 1
    assert said in _run(store, "engines", "prune").stdout
    assert EngineStore(store).names() == []


def test_inspect_prints_the_manifest(stored: Path) -> None:
    shown = json.loads(_run(stored.parent, "engines", "inspect", "tiny").stdout)
    assert shown["name"] == stored.name
    assert shown["precision_found"] == "fp32"
    result = _run(stored.parent, "engines", "inspect", "other")
    assert result.exit_code == 2
    assert "0 engines" in result.stderr


def test_prune_sweeps_leftovers_and_keeps_what_is_good(stored: Path, backend: FakeBackend) -> None:
    store = EngineStore(stored.parent)
    (store.folder / ".building-tiny.dead").mkdir()
    store.note_failure(tiny_maker(store.folder).key(backend, "int8"), "it failed")
    result = _run(store.folder, "engines", "prune")
    assert "a build that did not finish left it" in result.stdout
    assert "the note of a build that failed" in result.stdout
    assert store.names() == [stored.name]
    assert store.leftovers() == []
    assert "nothing to delete" in _run(store.folder, "engines", "prune").stdout
    assert "--all was given" in _run(store.folder, "engines", "prune", "--all").stdout
    assert store.names() == []
