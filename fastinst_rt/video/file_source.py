"""Video files."""

import threading
from collections.abc import Iterator
from pathlib import Path

import av

from fastinst_rt.errors import SourceOpenError
from fastinst_rt.results import Frame
from fastinst_rt.video.clock import Pacer
from fastinst_rt.video.passengers import Passengers
from fastinst_rt.video.reader import Reader
from fastinst_rt.video.sources import SourceInfo, SourceOptions


class FileSource:
    """Frames of a video file, as fast as they are asked for (with `live`: at natural speed).

    Raises:
        SourceOpenError: the file is missing, empty, no video or holds no picture.
    """

    def __init__(self, path: Path, options: SourceOptions) -> None:
        self._reader = _open(path, options)
        self._stopped = threading.Event()
        self._pacer = Pacer(self._stopped) if options.live else None
        self.info: SourceInfo = self._reader.info
        self.passengers: Passengers | None = self._reader.passengers

    @property
    def notes(self) -> list[str]:
        """What was repaired or left out so far."""
        return self._reader.notes

    def frames(self) -> Iterator[Frame]:
        """See `Source.frames`."""
        for frame in self._reader.frames():
            if self._pacer is not None and not self._pacer.wait(frame.seconds):
                return
            yield frame

    def stop(self) -> None:
        """See `Source.stop`."""
        self._stopped.set()
        self._reader.stop()

    def close(self) -> None:
        """Closes the file."""
        self._reader.close()


def _open(path: Path, options: SourceOptions) -> Reader:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SourceOpenError(
            f"{path} cannot be opened: {error.strerror}.", "Check the name and the folder."
        ) from error
    if path.is_file() and size == 0:
        raise SourceOpenError(f"{path} is empty (0 bytes).", "Record or copy the file again.")
    try:
        # The "file:" keeps names with a colon or a percent sign from being read as URLs or patterns.
        container = av.open(f"file:{path}", metadata_errors="replace")
    except av.error.InvalidDataError as error:
        raise SourceOpenError(
            f"{path} is no video, or its index is missing (a recording that was cut short).",
            "Check it with a player; a cut .mp4 without index cannot be read by anything, record to .mkv to be safe.",
        ) from error
    except (av.FFmpegError, OSError) as error:
        raise SourceOpenError(f"{path} cannot be opened: {error.strerror}.", "Check the file.") from error
    try:
        return Reader(container, str(path), "file", options, path)
    except BaseException:
        container.close()
        raise
