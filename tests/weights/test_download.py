"""Downloads: resumed, locked, hashed; and one sentence for everything that a server or a disk can do wrong."""

import errno
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import filelock
import pytest
import torch

from fastinst_rt.errors import UsageError, WeightsError
from fastinst_rt.weights import download, transfer
from fastinst_rt.weights.download import URL_VARIABLE, cache_folder, check_recorded, pull
from fastinst_rt.weights.store import weights_sha256
from fastinst_rt.weights.transfer import join_url, printable


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def pull_net(server, cache: Path, **options) -> Path:
    return pull("net.pth", folder=cache, base_url=server.url, **options)


def error_of(server, cache: Path, **options) -> WeightsError:
    with pytest.raises(WeightsError) as raised:
        pull_net(server, cache, **options)
    assert raised.value.exit_code == 7
    return raised.value


def test_first_download_is_recorded_and_later_ones_are_checked(server, cache: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    path = pull_net(server, cache, progress=lambda here, total: steps.append((here, total)))
    served = server.folder / "net.pth"
    size = served.stat().st_size
    assert path.read_bytes() == served.read_bytes()
    assert steps[0] == (0, size)
    assert steps[-1] == (size, size)
    record = json.loads((cache / "net.pth.json").read_text())
    assert record["sha256"] == weights_sha256(served)
    assert record["source"] == f"{server.url}/net.pth"
    assert sorted(file.name for file in cache.iterdir()) == ["net.pth", "net.pth.json", "net.pth.lock"]
    pull_net(server, cache)
    assert len(server.requests) == 1
    with path.open("r+b") as file:
        file.seek(200)
        file.write(b"!")
    problem = error_of(server, cache).problem
    assert "has changed since it was downloaded" in problem
    assert record["sha256"][:12] in problem
    assert pull_net(server, cache, force=True).read_bytes() == served.read_bytes()


def test_a_release_that_changed_is_refused_until_forced(server, cache: Path) -> None:
    pull_net(server, cache).unlink()
    torch.save({"a": torch.zeros(3)}, server.folder / "net.pth")
    error = error_of(server, cache)
    assert "is not the file that was first downloaded" in error.problem
    assert "--force" in error.remedy
    assert not (cache / "net.pth").exists()
    pull_net(server, cache, force=True)
    assert check_recorded(cache / "net.pth") == weights_sha256(server.folder / "net.pth")


def test_a_file_put_there_by_hand_is_recorded_at_its_first_use(server, cache: Path) -> None:
    cache.mkdir()
    shutil.copy(server.folder / "net.pth", cache)
    pull_net(server, cache)
    assert not server.requests
    assert json.loads((cache / "net.pth.json").read_text())["sha256"] == weights_sha256(cache / "net.pth")
    (cache / "other.pth").write_text("<html>")
    with pytest.raises(WeightsError, match="is a web page"):
        check_recorded(cache / "other.pth")
    assert not (cache / "other.pth.json").exists()


def test_a_broken_download_goes_on_where_it_stopped(server, cache: Path) -> None:
    server.cut_after = 300_000
    error = error_of(server, cache)
    size = (server.folder / "net.pth").stat().st_size
    assert f"broke off after 0.3 MB of {size / 1e6:.1f} MB" in error.problem
    assert "goes on where it stopped" in error.remedy
    assert not (cache / "net.pth").exists()
    server.cut_after = None
    steps: list[int] = []
    path = pull_net(server, cache, progress=lambda here, _: steps.append(here))
    assert server.requests[-1]["Range"] == "bytes=300000-"
    assert steps[0] == 300_000
    assert path.read_bytes() == (server.folder / "net.pth").read_bytes()


@pytest.mark.parametrize("change", ["file", "no tag", "no ranges"])
def test_a_download_starts_anew_where_it_cannot_go_on(server, cache: Path, change: str) -> None:
    server.etag = change != "no tag"
    server.cut_after = 300_000
    error_of(server, cache)
    server.cut_after = None
    server.ranges = change != "no ranges"
    if change == "file":
        torch.save({"model": {"a": torch.arange(100_000, 0, -1)}}, server.folder / "net.pth")
    steps: list[int] = []
    path = pull_net(server, cache, progress=lambda here, _: steps.append(here))
    assert steps[0] == 0
    assert path.read_bytes() == (server.folder / "net.pth").read_bytes()


def test_a_complete_part_without_its_end_of_download(server, cache: Path) -> None:
    """As after a crash between the last byte and the move: the server answers 416 to the rest."""
    server.cut_after = 300_000
    error_of(server, cache)
    server.cut_after = None
    shutil.copy(server.folder / "net.pth", cache / "net.pth.part")
    assert pull_net(server, cache).read_bytes() == (server.folder / "net.pth").read_bytes()
    assert len(server.requests) == 3


def test_a_part_of_another_address_is_not_gone_on_from(server, cache: Path) -> None:
    server.cut_after = 300_000
    error_of(server, cache)
    server.cut_after = None
    pull("net.pth", folder=cache, base_url=f"{server.url}/mirror")
    assert "Range" not in server.requests[-1]


def test_chunked_bodies(server, cache: Path) -> None:
    server.chunked, server.etag, server.cut_after = True, False, 300_000
    assert "broke off after" in error_of(server, cache).problem
    server.cut_after = None
    steps: list[int | None] = []
    path = pull_net(server, cache, progress=lambda _, total: steps.append(total))
    assert path.read_bytes() == (server.folder / "net.pth").read_bytes()
    assert set(steps) == {None}


def test_what_is_not_there_and_what_is_no_checkpoint(server, cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"refused http.*/absent\.pth: 404") as raised:
        pull("absent.pth", folder=cache, base_url=server.url)
    assert f"put absent.pth into {cache} yourself" in raised.value.remedy
    assert URL_VARIABLE in raised.value.remedy
    server.page = "<html>log in</html>"
    assert "with a web page" in error_of(server, cache).problem
    server.page = None
    (server.folder / "net.pth").write_bytes(b"PK\x03\x04 but not really")
    assert "is no checkpoint" in error_of(server, cache).problem
    (server.folder / "net.pth").write_bytes(b"")
    assert "is no checkpoint" in error_of(server, cache).problem
    assert not [file for file in cache.iterdir() if file.suffix != ".lock"]


def test_a_checkpoint_of_something_else_is_not_kept(server, cache: Path) -> None:
    error = error_of(server, cache, fits=lambda tensors: "b" in tensors)
    assert "is a checkpoint of another model" in error.problem
    assert not [file for file in cache.iterdir() if file.suffix != ".lock"]
    assert pull_net(server, cache, fits=lambda tensors: "a" in tensors).is_file()


def test_servers_that_cannot_be_reached(cache: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(WeightsError, match=r"cannot be reached: Connection refused"):
            pull("net.pth", folder=cache, base_url=f"http://127.0.0.1:{port}")
    with pytest.raises(WeightsError, match=r"The server of http://no-such-host\.invalid/net\.pth cannot be reached"):
        pull("net.pth", folder=cache, base_url="http://no-such-host.invalid")


def test_a_server_that_stands_still(server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "TIMEOUT", 0.2)
    server.gate = Event()
    assert "broke off after 0.0 MB" in error_of(server, cache).problem
    server.gate.set()


def test_a_disk_that_is_too_small(server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    problem = error_of(server, cache).problem
    assert "needs 0.8 MB" in problem
    assert "has 0.0 MB left" in problem


def test_a_cache_that_cannot_be_made(server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot be written: Not a directory"):
        pull_net(server, tmp_path / "file" / "cache")


def test_a_file_in_a_cache_that_others_look_after_is_checked_and_not_recorded(
    server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir()
    shutil.copy(server.folder / "net.pth", cache)
    monkeypatch.setattr(Path, "write_text", _denied)
    assert check_recorded(cache / "net.pth") == weights_sha256(server.folder / "net.pth")
    assert [file.name for file in cache.iterdir()] == ["net.pth"]


def test_a_file_in_a_folder_that_cannot_be_written_is_all_that_is_asked_for(
    server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull_net(server, cache)
    monkeypatch.setattr(download.os, "access", lambda *_: False)
    monkeypatch.setattr(filelock.FileLock, "acquire", _denied)
    assert pull_net(server, cache) == cache / "net.pth"
    assert len(server.requests) == 1
    assert "cannot be written" in error_of(server, cache, force=True).problem


@pytest.mark.parametrize(
    ("owner", "name"),
    [(filelock.FileLock, "acquire"), (Path, "replace"), (download, "_record")],
    ids=["lock", "move", "record"],
)
def test_a_cache_that_cannot_be_written(
    server, cache: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    monkeypatch.setattr(owner, name, _denied)
    error = error_of(server, cache)
    assert error.problem == f"The cache folder {cache} cannot be written: Permission denied."
    assert error.remedy == "Choose another one with --cache-dir."


def _denied(*_: object, **__: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_passwords_are_sent_and_never_shown(server, cache: Path) -> None:
    server.password = "ann:s3cr3t"
    host = server.url.removeprefix("http://")
    with pytest.raises(WeightsError, match="401") as raised:
        pull("net.pth", folder=cache, base_url=f"http://ann:wr0ng@{host}/x?token=t0k3n")
    pull("net.pth", folder=cache, base_url=f"http://ann:s3cr3t@{host}/x?token=t0k3n")
    seen = str(raised.value) + (cache / "net.pth.json").read_text()
    for secret in ("ann", "wr0ng", "s3cr3t", "t0k3n"):
        assert secret not in seen
    assert f"{host}/x/net.pth" in seen


def test_a_redirect_does_not_carry_the_password_along(server, start_server, cache: Path) -> None:
    with start_server(server.folder) as other:
        server.redirect = other.url
        host = server.url.removeprefix("http://")
        pull("net.pth", folder=cache, base_url=f"http://ann:s3cr3t@{host}")
        assert "Authorization" in server.requests[0]
        assert "Authorization" not in other.requests[0]


def test_addresses() -> None:
    assert join_url("https://host/a/", "x y.pth") == "https://host/a/x%20y.pth"
    assert join_url("https://u:p@host/a?sig=1", "x.pth") == "https://u:p@host/a/x.pth?sig=1"
    assert printable("https://u:p@host:8080/a/x.pth?sig=1#f") == "https://host:8080/a/x.pth"
    for wrong in ("ftp://host", "/folder", "host", "file:///etc"):
        with pytest.raises(UsageError, match="is no http or https URL"):
            join_url(wrong, "x.pth")


def test_the_mirror_of_the_environment(server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, server.url)
    assert pull("net.pth", folder=cache).is_file()


def test_the_cache_folder_is_that_of_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(download.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    assert cache_folder() == tmp_path / "fastinst-rt" / "weights"


def test_two_processes_download_once(server, cache: Path) -> None:
    server.gate = Event()
    script = (
        "import sys; from pathlib import Path; from fastinst_rt.weights.download import pull;"
        "pull('net.pth', folder=Path(sys.argv[1]), base_url=sys.argv[2], on_wait=lambda: print('waits', flush=True))"
    )
    command = [sys.executable, "-c", script, str(cache), server.url]
    started = Event()
    done: list[Path] = []
    first = Thread(target=lambda: done.append(pull_net(server, cache, progress=lambda *_: started.set())))
    first.start()
    # the headers are out before the gate, so the first one has the lock and waits for the body
    assert started.wait(20)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as second:
        assert second.stdout is not None
        assert second.stdout.readline() == "waits\n"
        server.gate.set()
        assert second.wait(60) == 0
    first.join()
    assert done == [cache / "net.pth"]
    assert len(server.requests) == 1
