"""What a user names as input -> the list of sources to open."""

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from fastinst_rt.errors import SourceOpenError
from fastinst_rt.video.urls import is_url

_SUFFIXES = "mp4 m4v mov mkv webm avi ts m2ts mts mpg mpeg wmv flv 3gp ogv mxf vob y4m h264 h265 hevc"

VIDEO_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
"""Files of a folder with these suffixes are taken for videos; a file that is named itself may have any."""


def expand_inputs(inputs: Iterable[str]) -> list[str]:
    """The sources that the arguments mean: folders stand for their videos, globs for what they match.

    Files keep the order in which they were named; those of a folder or a glob come in natural order (2 before 10).
    Each appears once.

    Raises:
        SourceOpenError: a folder without videos, a glob without match, a file that is not there.
    """
    found: dict[str, None] = {}
    for text in inputs:
        found.update(dict.fromkeys(_expand(text)))
    return list(found)


def _expand(text: str) -> list[str]:
    path = Path(text)
    if text == "-" or text.startswith("test:") or is_url(text):
        return [text]
    if path.is_file():
        return [_as_path(text)]
    if path.is_dir():
        videos = [str(f) for f in path.iterdir() if f.suffix.lower() in VIDEO_SUFFIXES and _is_finished(f)]
        if not videos:
            raise SourceOpenError(f"{text} holds no video.", "Name a folder with videos, or the files themselves.")
        return sorted(videos, key=_natural)
    if text.isdecimal():  # only now: a folder may be named 2024
        return [text]
    if re.search(r"%0?\d*d", path.name):
        return [text]
    if glob.has_magic(text):
        # Path.glob takes no absolute pattern, and its users none that starts in another folder.
        matches = [m for m in glob.glob(text, recursive=True) if _is_finished(Path(m))]  # noqa: PTH207
        if not matches:
            raise SourceOpenError(f"Nothing matches {text}.", "Check the pattern and the folder.")
        return [_as_path(match) for match in sorted(matches, key=_natural)]
    if path.exists():  # a device, a pipe
        return [text]
    raise SourceOpenError(f"{text} is not there.", "Check the name and the folder.")


def _as_path(file: str) -> str:
    """The name of a file such that nobody takes it for the number of a camera."""
    return f"./{file}" if file.isdecimal() else file


def _is_finished(file: Path) -> bool:
    """Not one of our own outputs that is still being written (`.name.part.mp4`)."""
    return file.is_file() and not file.name.startswith(".")


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in re.split(r"(\d+)", text) if part]
