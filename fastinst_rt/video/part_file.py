"""Outputs that get their final name only when they are whole."""

import contextlib
from pathlib import Path

from fastinst_rt.errors import OutputError, UsageError


def part_path(path: Path) -> Path:
    """The file that is written before it gets its final name: hidden, beside it, with the same suffix."""
    return path.with_name(f".{path.stem}.part{path.suffix}")


def check_writable(path: Path, source: Path | None = None) -> None:
    """That the output can be begun.

    Raises:
        UsageError: it is a folder, or the very file that is read.
        OutputError: its folder is missing or cannot be written to.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", "Name a file.")
    with contextlib.suppress(OSError):
        if source is not None and path.exists() and path.samefile(source):
            raise UsageError(f"{path} is both input and output.", "Give the output another name.")
    if not path.parent.is_dir():
        raise OutputError(f"The folder {path.parent} is not there.", "Create it first, or name another output.")
    part = part_path(path)
    try:
        part.touch()
        part.unlink()
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be written to: {error.strerror}.", "Name another folder.") from error


def write_failure(path: Path, error: Exception, kept: Path | None = None) -> OutputError:
    """The error for an output that could not be written on; names the part that was kept, if there is one."""
    reason = getattr(error, "strerror", None) or str(error)
    tail = f"; what was written is in {kept}" if kept is not None and kept.exists() else ""
    return OutputError(f"{path} cannot be written: {reason}{tail}.", "Make room or name another folder.")
