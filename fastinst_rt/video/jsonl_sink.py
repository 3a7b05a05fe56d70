"""Instances as JSON Lines: one line a frame, in constant memory."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastinst_rt.errors import OutputError
from fastinst_rt.results import Frame, Instances
from fastinst_rt.video.part_file import check_writable, part_path, write_failure
from fastinst_rt.video.sources import Source

FORMAT = "fastinst-rt/1"
"""The name of the format, in its first line; the number changes when a reader would have to."""


_INCOMPLETE = {"incomplete": True}


class JsonlSink:
    """Writes a first line about the source and then one line a frame.

    First line: `{"format", "source", "width", "height", "rate", "time_base"}`; rationals are texts like `30000/1001`.
    Each other line: `{"index", "pts", "time_base", "seconds", "instances"}`, with the records of `Instances.to_coco`
    (compressed RLE at frame size, xywh boxes). `pts` times `time_base` is exact, `seconds` rounded to a microsecond.
    A run that broke off adds the line `{"incomplete":true}`. Every line goes to the system when it is complete, so
    that a killed run leaves whole lines in the part.

    Args:
        path: of the output; its part lies beside it until `close`.
        source: open.

    Raises:
        UsageError, OutputError: as `part_file.check_writable`.
    """

    needs_overlay = False

    def __init__(self, path: Path, source: Source) -> None:
        self.path: Path = path
        self.notes: list[str] = []
        check_writable(path, source.info.path)
        try:
            self._file = part_path(path).open("wb")
        except OSError as error:
            raise write_failure(path, error) from error
        self._ended = False
        self._whole = 0
        info = source.info
        self._put(
            {
                "format": FORMAT,
                "source": info.name,
                "width": info.width,
                "height": info.height,
                "rate": None if info.rate is None else str(info.rate),
                "time_base": str(info.time_base),
            }
        )

    def write(self, frame: Frame, annotated: npt.NDArray[np.uint8] | None, instances: Instances) -> None:  # noqa: ARG002
        """See `Sink.write`."""
        self._put(
            {
                "index": frame.index,
                "pts": frame.pts,
                "time_base": str(frame.time_base),
                "seconds": round(float(frame.seconds), 6),
                "instances": instances.to_coco(),
            }
        )

    def close(self) -> None:
        """See `Sink.close`."""
        if self._ended:
            return
        self._ended = True
        try:
            self._file.close()
            part_path(self.path).replace(self.path)
        except OSError as error:
            raise write_failure(self.path, error, part_path(self.path)) from error

    def abort(self) -> None:
        """See `Sink.abort`: the lines so far get the final name, with one that says that there should be more."""
        if self._ended:
            return
        with contextlib.suppress(OutputError):
            self._put(_INCOMPLETE)
            self.close()

    def _put(self, record: dict[str, Any]) -> None:
        line = json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            self._break_off()
            raise write_failure(self.path, error, part_path(self.path)) from error
        self._whole += len(line)

    def _break_off(self) -> None:
        """Nothing more can be written: keeps the whole lines in the part."""
        self._ended = True
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            os.truncate(part_path(self.path), self._whole)


def is_incomplete(path: Path) -> bool:
    """Whether the lines were finalised by a run that broke off."""
    mark = json.dumps(_INCOMPLETE, separators=(",", ":")).encode() + b"\n"
    with path.open("rb") as lines:
        lines.seek(max(0, path.stat().st_size - len(mark)))
        return lines.read() == mark
