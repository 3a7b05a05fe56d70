"""The engine store: one folder an engine, written whole or not at all, checked before every use.

A build happens in a hidden folder beside the final one, under the engine's lock, and is moved into place by one
rename once its manifest is written and everything is on the disk. Whatever is left of a build that died is swept by
the next build of the same engine, or by `engines prune`.
"""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs
from filelock import FileLock

from fastinst_rt.backends.base import EngineKey
from fastinst_rt.backends.manifest import Manifest, differences, digest, read_manifest, write_manifest
from fastinst_rt.errors import EngineError, EngineRefusedError

ENGINE_DIR_VARIABLE = "FASTINST_RT_ENGINE_DIR"
_BUILDING, _OLD, _LOCKS, _FAILED = ".building-", ".old-", ".locks", ".failed"
_DISK_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS}


class StoreError(EngineError):
    """The engine folder cannot be written (exit code 5)."""


def default_engine_dir() -> Path:
    """$FASTINST_RT_ENGINE_DIR, else `engines/` of the checkout this package runs from, else the user's cache."""
    if chosen := os.environ.get(ENGINE_DIR_VARIABLE):
        return Path(chosen)
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "engines" / "README.md").is_file() and (checkout / "pyproject.toml").is_file():
        return checkout / "engines"
    return Path(platformdirs.user_cache_dir("fastinst-rt")) / "engines"


def engine_name(key: EngineKey) -> str:
    """The folder's name: the fields a person looks for, and a digest of all of them."""
    height, width = key.resized
    parts = [
        key.model,
        key.weights_sha256[:8],
        f"{key.backend}-{key.precision}",
        f"b{key.batch}",
        f"{height}x{width}",
        key.device,
        digest(key)[:8],
    ]
    return ".".join(re.sub(r"[^A-Za-z0-9_-]+", "-", part) for part in parts)


def repair_command(key: EngineKey, *, rebuild: bool = False) -> str:
    """The sentence that tells how to make the engine anew; with `rebuild`, even if the store finds no fault with it."""
    height, width = key.resized
    return (
        f"Run `fastinst-rt compile {key.model} --backend {key.backend} --precision {key.precision} "
        f"--batch {key.batch} --input {height}x{width} --device {key.device}"
        f"{' --rebuild' if rebuild else ''}` (with your --weights)."
    )


class EngineStore:
    """The engines in one folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_engine_dir()

    def path(self, key: EngineKey) -> Path:
        """Where the engine of this key is, or would be."""
        return self.folder / engine_name(key)

    def names(self) -> list[str]:
        """Names of the engines that are here, usable or not."""
        if not self.folder.is_dir():
            return []
        return sorted(p.name for p in self.folder.iterdir() if p.is_dir() and not p.name.startswith("."))

    def has(self, key: EngineKey) -> bool:
        """Whether there is a proven engine for `key`, by its manifest."""
        try:
            self.manifest(key)
        except EngineRefusedError:
            return False
        return True

    def manifest(self, key: EngineKey, allow_unverified: bool = False) -> Manifest:
        """The manifest of the engine for `key`, if it says what is wanted; the files are not looked at.

        Raises:
            EngineRefusedError: with the reason, and the command that repairs it.
        """
        folder, remedy = self.path(key), repair_command(key)
        if not folder.is_dir():
            raise EngineRefusedError(self._why_absent(key), remedy)
        manifest = read_manifest(folder, remedy)
        if clauses := differences(manifest.key, key):
            raise EngineRefusedError(f"Engine {folder.name} does not fit: {'; '.join(clauses)}.", remedy)
        if not (manifest.verified or allow_unverified):
            raise EngineRefusedError(
                f"Engine {folder.name} did not pass the parity gate.", f"{remedy} Or give --allow-unverified."
            )
        return manifest

    def check(self, key: EngineKey, allow_unverified: bool = False) -> Manifest:
        """The manifest of the engine for `key`, after every check that can be made without running it.

        Raises:
            EngineRefusedError: with the reason, and the command that repairs it.
        """
        manifest = self.manifest(key, allow_unverified)
        check_content(self.path(key), manifest, repair_command(key))
        return manifest

    def failure(self, key: EngineKey) -> str | None:
        """Why the last build of this engine failed, if it did; `auto` does not try again."""
        note = self.folder / _FAILED / engine_name(key)
        return note.read_text(encoding="utf-8") if note.is_file() else None

    def note_failure(self, key: EngineKey, reason: str) -> None:
        """Remember that an engine cannot be built; a later build that succeeds, or `prune`, forgets it."""
        with contextlib.suppress(OSError):  # it only saves the time of the next try
            (self.folder / _FAILED).mkdir(parents=True, exist_ok=True)
            (self.folder / _FAILED / engine_name(key)).write_text(reason, encoding="utf-8")

    def _why_absent(self, key: EngineKey) -> str:
        """Says what the nearest engine of the same model and backend lacks, if there is one."""
        nearest: list[str] | None = None
        for name in self.names():
            try:
                found = read_manifest(self.folder / name, "").key
            except EngineRefusedError:
                continue
            clauses = differences(found, key)
            same_kind = found.model == key.model and found.backend == key.backend
            if same_kind and (nearest is None or len(clauses) < len(nearest)):
                nearest = clauses
        missing = f"There is no engine {engine_name(key)} in {self.folder}"
        return f"{missing}; the nearest does not fit: {'; '.join(nearest)}." if nearest else f"{missing}."

    @contextlib.contextmanager
    def lock(self, key: EngineKey, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """One builder an engine, over all processes; `waiting` is called when another one is at work."""
        with self._disk_errors():
            (self.folder / _LOCKS).mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / _LOCKS / f"{engine_name(key)}.lock")
            if not _try_lock(lock):
                waiting()
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def add(self, key: EngineKey, build: Callable[[Path], Manifest]) -> Manifest:
        """Let `build` fill an empty folder and return its manifest; then move it into place. Call under `lock`.

        Raises:
            EngineError: if the disk is full or the folder cannot be written; nothing is left behind then.
        """
        final = self.path(key)
        work = self.folder / f"{_BUILDING}{final.name}"
        with self._disk_errors():
            shutil.rmtree(work, ignore_errors=True)  # what a killed build of this engine left; its lock is ours
            work.mkdir(parents=True)
        try:
            with self._disk_errors(_DISK_ERRORS):
                manifest = build(work)
            with self._disk_errors():
                write_manifest(work, manifest)
                _sync(work)
                self._move_into_place(work, final)
                (self.folder / _FAILED / final.name).unlink(missing_ok=True)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return manifest

    def _move_into_place(self, work: Path, final: Path) -> None:
        old = self.folder / f"{_OLD}{final.name}-{uuid.uuid4().hex[:8]}"
        if final.exists():  # readers that opened it keep their files; those that come between find none, and lock
            final.rename(old)
        work.rename(final)
        shutil.rmtree(old, ignore_errors=True)

    def remove(self, name: str) -> None:
        """Delete one engine."""
        with self._disk_errors():
            doomed = self.folder / f"{_OLD}{name}-{uuid.uuid4().hex[:8]}"
            (self.folder / name).rename(doomed)
            shutil.rmtree(doomed)

    def leftovers(self) -> list[Path]:
        """Folders of builds that died or were replaced, where no build is at work now."""
        if not self.folder.is_dir():
            return []
        return sorted(p for p in self.folder.iterdir() if p.name.startswith((_BUILDING, _OLD)) and not self._busy(p))

    def _busy(self, leftover: Path) -> bool:
        if not leftover.name.startswith(_BUILDING):
            return False
        (self.folder / _LOCKS).mkdir(exist_ok=True)
        lock = FileLock(self.folder / _LOCKS / f"{leftover.name.removeprefix(_BUILDING)}.lock")
        if not _try_lock(lock):
            return True
        lock.release()
        return False

    def failures(self) -> list[Path]:
        """Notes of builds that failed."""
        return sorted((self.folder / _FAILED).glob("*"))

    @contextlib.contextmanager
    def _disk_errors(self, only: set[int] | None = None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if only is not None and error.errno not in only:
                raise
            raise StoreError(
                f"The engine folder {self.folder} cannot be written ({error.strerror or error}).",
                f"Free some space, or choose another folder with --engine-dir or ${ENGINE_DIR_VARIABLE}.",
            ) from error


def hash_files(folder: Path, names: list[str]) -> dict[str, dict[str, str | int]]:
    """name -> sha256 and size, for the manifest."""
    return {name: {"sha256": file_sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in names}


def file_sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_content(folder: Path, manifest: Manifest, remedy: str) -> None:
    """Check that the files are those that were proven, and of the precision that was asked for.

    Raises:
        EngineRefusedError: naming the file.
    """
    for name, wanted in manifest.files.items():
        path = folder / name
        if path.parent != folder or not path.is_file():
            raise EngineRefusedError(f"Engine {folder.name} lacks its file {name}.", remedy)
        if path.stat().st_size != wanted["bytes"] or file_sha256(path) != wanted["sha256"]:
            raise EngineRefusedError(f"File {name} of engine {folder.name} is damaged.", remedy)
    if manifest.precision_found != manifest.key.precision:
        raise EngineRefusedError(
            f"Engine {folder.name} was asked for in {manifest.key.precision} but is {manifest.precision_found}.", remedy
        )


def _try_lock(lock: FileLock) -> bool:
    try:
        lock.acquire(blocking=False)
    except TimeoutError:
        return False
    return True


def _sync(folder: Path) -> None:
    """Everything on the disk before the rename: a power cut must not leave a good name on half a file."""
    if os.name == "nt":  # no handle of a folder there, and no flush of one that only reads
        return
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
