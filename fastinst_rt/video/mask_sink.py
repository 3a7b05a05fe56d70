"""Instance-id maps as PNG, one a frame."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.errors import OutputError, UsageError
from fastinst_rt.results import Frame, Instances
from fastinst_rt.video.part_file import write_failure
from fastinst_rt.video.sources import Source

_DIGITS = 6


class MaskSink:
    """Writes `000042.png` for the frame of index 42: uint16 [H, W], 0 is background.

    Where identities are kept over time a pixel holds the track id + 1, else the place in the frame's list + 1
    (the order of the JSON lines); where masks overlap the better score wins. One depth for all files, so that
    a reader needs no second look; PNG packs the empty upper bytes away.

    Args:
        path: the folder; made if its own parent is there.
        source: open; a very long one has more digits in its file names.

    Raises:
        UsageError: it is a file.
        OutputError: it cannot be made or written to.
    """

    needs_overlay = False

    def __init__(self, path: Path, source: Source) -> None:
        self.path: Path = path
        self._digits = max(_DIGITS, len(str(source.info.frame_count or 0)))
        self.notes: list[str] = []
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file, but masks need a folder.", "Name a folder.")
        probe = path / ".writable"
        try:
            path.mkdir(exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OutputError(f"{path} cannot be written to: {error.strerror}.", "Name another folder.") from error

    def write(self, frame: Frame, annotated: npt.NDArray[np.uint8] | None, instances: Instances) -> None:  # noqa: ARG002
        """See `Sink.write`."""
        good, data = cv2.imencode(".png", id_map(instances), [cv2.IMWRITE_PNG_COMPRESSION, 1])
        assert good
        name = f"{frame.index:0{self._digits}d}.png"
        part = self.path / f".{name}.part"
        try:
            part.write_bytes(data.tobytes())
            part.replace(self.path / name)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise write_failure(self.path / name, error) from error

    def close(self) -> None:
        """Every file is whole already."""

    def abort(self) -> None:
        """Every file is whole already."""


def id_map(instances: Instances) -> npt.NDArray[np.uint16]:
    """uint16 [H, W]: 0 background, else track id + 1 where there are tracks, place + 1 where there are none."""
    labels = instances.label_map()
    if instances.track_ids is None:
        return labels
    ids = np.concatenate([[0], instances.track_ids + 1])
    return ids.astype(np.uint16)[labels]
