"""The store against what happens between processes and disks: races, kills, a disk that is full."""

import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastinst_rt.backends.store import EngineStore

from .tiny import FakeBackend, run_both, tiny_maker

TINY = [sys.executable, "-m", "tests.backends.tiny"]
ROOT = Path(__file__).parents[2]


def _start(*arguments: object, **more: object) -> subprocess.Popen[str]:
    command = [*TINY, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, **more)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)


def test_two_processes_build_one_engine(tmp_path: Path) -> None:
    log = tmp_path / "log"
    builders = [_start(tmp_path / "engines", log, 1.0) for _ in range(2)]
    assert [builder.communicate()[1] for builder in builders] == ["", ""]
    assert log.read_text() == "build\n"
    tiny_maker(tmp_path / "engines").load(FakeBackend(), "fp32")


def test_killed_build_leaves_nothing_that_is_used(tmp_path: Path) -> None:
    folder, log = tmp_path / "engines", tmp_path / "log"
    builder = _start(folder, log, 60)
    _wait_for(log)
    time.sleep(0.2)  # the artefact is written by now, its manifest is not
    builder.send_signal(signal.SIGKILL)
    builder.communicate()
    store = EngineStore(folder)
    assert store.names() == []
    assert len(store.leftovers()) == 1
    maker, backend = tiny_maker(folder), FakeBackend()
    expected, found = run_both(maker, maker.get(backend, "fp32"))
    assert expected.equal(found)
    assert store.leftovers() == []


def test_a_build_at_work_is_no_leftover(tmp_path: Path) -> None:
    folder, log = tmp_path / "engines", tmp_path / "log"
    builder = _start(folder, log, 60)
    _wait_for(log)
    try:
        assert EngineStore(folder).leftovers() == []
    finally:
        builder.kill()
        builder.communicate()


@pytest.mark.parametrize("already_there", [False, True])
def test_full_disk(already_there: bool, tmp_path: Path) -> None:
    folder, log = tmp_path / "engines", tmp_path / "log"
    maker, backend = tiny_maker(folder), FakeBackend()
    if already_there:  # an engine that is damaged, so that the next process wants to replace it
        maker.build(backend, "fp32")
        (maker.store.path(maker.key(backend, "fp32")) / "more.bin").write_bytes(b"x")
    limit = 1 << 20  # like a full disk, for one process: a write past this size fails
    builder = _start(
        folder, log, 0, 4 << 20, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    said = builder.communicate()[1]
    assert builder.returncode != 0
    assert "StoreError" in said
    assert "Free some space" in said
    assert not [path for path in folder.iterdir() if path.name.startswith(".building")]
    expected, found = run_both(maker, maker.get(backend, "fp32"))
    assert expected.equal(found)
