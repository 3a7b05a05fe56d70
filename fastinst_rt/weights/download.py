"""Released checkpoints: fetched once, hashed, and checked against that hash ever after."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout
from torch import Tensor

from fastinst_rt.errors import WeightsError
from fastinst_rt.weights.pickles import read_tensors
from fastinst_rt.weights.store import weights_sha256
from fastinst_rt.weights.transfer import Progress, fetch, join_url, printable

RELEASE_URL = "https://github.com/junjiehe96/FastInst/releases/download/v0.1.0"
"""Where the authors of FastInst published their checkpoints."""

URL_VARIABLE = "FASTINST_RT_WEIGHTS_URL"
"""Environment variable that names a mirror instead."""


def cache_folder() -> Path:
    """Where downloaded weights are kept: in the user cache folder of the platform (`~/.cache/fastinst-rt` on Linux)."""
    return platformdirs.user_cache_path("fastinst-rt") / "weights"


def pull(
    file_name: str,
    *,
    folder: Path | None = None,
    base_url: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    on_wait: Callable[[], None] | None = None,
    fits: Callable[[Mapping[str, Tensor]], bool] | None = None,
) -> Path:
    """The released file in the cache folder, downloaded if it is not there yet.

    A second process that wants the same file waits for the first. The sha256 is recorded beside the file at the first
    download (a file that was put there by hand: at its first use) and every later one must agree.

    Args:
        file_name: name of the file in the release.
        folder: cache folder; default `cache_folder()`.
        base_url: where the file lies; default the environment variable FASTINST_RT_WEIGHTS_URL, then the release.
        force: download again and record the hash anew.
        progress: called as the bytes come.
        on_wait: called once if another process is downloading the same file.
        fits: says whether the tensors of a download are those that were wanted.

    Raises:
        WeightsError: it cannot be fetched or written, is no checkpoint, does not fit, or differs from what was
            recorded.
    """
    folder = folder or cache_folder()
    target = folder / file_name
    url = join_url(base_url or os.environ.get(URL_VARIABLE) or RELEASE_URL, file_name)
    if not force and target.is_file() and not os.access(folder, os.W_OK):
        check_recorded(target)  # others look after this folder: no lock can be taken here, and none is needed
        return target
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _alone(target, on_wait):
        if force or not target.is_file():
            partial = target.with_name(target.name + ".part")
            remedy = f"Set {URL_VARIABLE} to a mirror that has it, or put {file_name} into {folder} yourself."
            fetch(url, partial, remedy=remedy, progress=progress)
            with _writing(folder):
                _accept(partial, target, printable(url), force, fits)
        else:
            check_recorded(target)
    return target


def check_recorded(target: Path) -> str:
    """sha256 of a file in the cache, compared with the recorded one, or recorded if there is none.

    Raises:
        WeightsError: the file differs from what was recorded, or is no checkpoint.
    """
    digest, recorded = weights_sha256(target), _recorded(target)
    if recorded is None:
        read_tensors(target)  # never record the hash of something that is no checkpoint
        with suppress(OSError):  # a folder that others look after can be read all the same
            _record(target, digest, "put there by hand")
    elif digest != recorded:
        raise WeightsError(
            f"The file {target} has changed since it was downloaded (sha256 {digest[:12]}, recorded {recorded[:12]}).",
            "Fetch it again with `fastinst-rt weights pull --force MODEL`.",
        )
    return digest


def _accept(
    complete: Path, target: Path, source: str, force: bool, fits: Callable[[Mapping[str, Tensor]], bool] | None
) -> None:
    """Move a complete download into its place, if it is the checkpoint wanted and the one that was there before."""
    try:
        tensors = read_tensors(complete)
    except WeightsError as error:
        complete.unlink()
        raise WeightsError(
            f"What {source} sent is no checkpoint: {error.problem}", "Check the address, or try again later."
        ) from error
    if fits is not None and not fits(tensors):
        complete.unlink()
        raise WeightsError(f"What {source} sent is a checkpoint of another model.", "Check the address.")
    digest, recorded = weights_sha256(complete), None if force else _recorded(target)
    if recorded is not None and digest != recorded:
        complete.unlink()
        raise WeightsError(
            f"What {source} sent (sha256 {digest[:12]}) is not the file that was first downloaded ({recorded[:12]}).",
            "If the release was changed on purpose, accept it with `fastinst-rt weights pull --force MODEL`.",
        )
    # in this order a crash in between leaves a file without a record, never one with a wrong record
    _record_file(target).unlink(missing_ok=True)
    complete.replace(target)
    _record(target, digest, source)


def _record_file(target: Path) -> Path:
    return target.with_name(target.name + ".json")


def _recorded(target: Path) -> str | None:
    try:
        return str(json.loads(_record_file(target).read_bytes())["sha256"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"The record {_record_file(target)} of a download cannot be read.",
            "Fetch the weights again with `fastinst-rt weights pull --force MODEL`.",
        ) from error


def _record(target: Path, digest: str, source: str) -> None:
    content = {
        "sha256": digest,
        "size": target.stat().st_size,
        "source": source,
        "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    partial = _record_file(target).with_suffix(".json.part")
    partial.write_text(json.dumps(content, indent=2) + "\n")
    partial.replace(_record_file(target))


@contextmanager
def _alone(target: Path, on_wait: Callable[[], None] | None) -> Iterator[None]:
    """Hold the lock of one file; the operating system frees it when a process dies."""
    lock = FileLock(target.with_name(target.name + ".lock"))
    with _writing(target.parent):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if on_wait:
                on_wait()
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """One sentence for whatever the system says when something is written into the cache folder."""
    try:
        yield
    except OSError as error:
        raise WeightsError(
            f"The cache folder {folder} cannot be written: {error.strerror or error}.",
            "Choose another one with --cache-dir.",
        ) from error
