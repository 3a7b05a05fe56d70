"""The cut-out: the source's pictures with the instances opaque and all else transparent."""

import contextlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from fastinst_rt.errors import OutputError
from fastinst_rt.results import Frame, Instances
from fastinst_rt.video.encoders import alpha_encoder
from fastinst_rt.video.sources import Source
from fastinst_rt.video.video_writer import VideoWriter


class MatteSink:
    """Writes the source's own pictures with straight alpha: 255 inside any mask, 0 elsewhere. No sound.

    Args:
        path: .mov (ProRes 4444, for editors) or .webm (VP9 with alpha, for browsers).
        source: open.

    Raises:
        UsageError: another suffix, or a path that cannot be meant.
        OutputError: the folder cannot be written to, or the encoder does not take the size.
    """

    needs_overlay = False

    def __init__(self, path: Path, source: Source) -> None:
        self.path: Path = path
        encoder = alpha_encoder(path.suffix, source.info)
        self._writer = VideoWriter(path, source, encoder, None)
        self.notes = [f"{path.name} is encoded by {encoder.name} ({encoder.pixel_format}).", *self._writer.notes]

    def write(self, frame: Frame, annotated: npt.NDArray[np.uint8] | None, instances: Instances) -> None:  # noqa: ARG002
        """See `Sink.write`."""
        picture = np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_BGR2BGRA), np.uint8)
        picture[:, :, 3] = coverage(instances)
        self._writer.write(frame, VideoFrame.from_numpy_buffer(picture, "bgra"))

    def close(self) -> None:
        """See `Sink.close`."""
        self._writer.finish(complete=True)

    def abort(self) -> None:
        """See `Sink.abort`; the file is tagged as incomplete."""
        with contextlib.suppress(OutputError):
            self._writer.finish(complete=False)


def coverage(instances: Instances) -> npt.NDArray[np.uint8]:
    """uint8 [H, W]: 255 inside any mask, else 0."""
    alpha = np.zeros(instances.size, np.uint8)
    for left, top, mask in instances.crops:
        alpha[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = 255
    return alpha
