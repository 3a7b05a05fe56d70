"""The annotated video: the source's times, sound, subtitles and colour with our pictures."""

import contextlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from fastinst_rt.errors import OutputError
from fastinst_rt.results import Frame, Instances
from fastinst_rt.video.encoders import choose_encoder
from fastinst_rt.video.sources import Source
from fastinst_rt.video.video_writer import VideoWriter


class VideoSink:
    """Writes the annotated pictures; see `VideoWriter` for what becomes of times, sound and a run that breaks off.

    Args:
        path: .mp4, .mov, .mkv or .webm.
        source: open; its audio and subtitles are taken on board unless `audio` is False.
        codec: h264, hevc, av1, vp9 or an encoder's name; None takes H.264 (VP9 in .webm).
        crf: constant quality; None takes the encoder's default here.
        audio: whether to copy the other streams.

    Raises:
        UsageError: suffix, codec or path cannot be meant (also: the output is the input).
        OutputError: the folder cannot be written to, or no encoder takes the size.
    """

    needs_overlay = True

    def __init__(
        self, path: Path, source: Source, codec: str | None = None, crf: int | None = None, audio: bool = True
    ) -> None:
        self.path: Path = path
        encoder = choose_encoder(codec or ("vp9" if path.suffix.lower() == ".webm" else "h264"), crf, source.info)
        self._writer = VideoWriter(path, source, encoder, source.passengers if audio else None)
        self.notes = [f"{path.name} is encoded by {encoder.name} ({encoder.pixel_format}).", *self._writer.notes]
        if encoder.pixel_format == "yuv444p":
            self.notes.append(
                "An odd side needs 4:4:4 colour, which some players do not show; .webm takes it as 4:2:0."
            )

    def write(self, frame: Frame, annotated: npt.NDArray[np.uint8] | None, instances: Instances) -> None:  # noqa: ARG002
        """See `Sink.write`."""
        image = np.ascontiguousarray(frame.image if annotated is None else annotated)
        self._writer.write(frame, VideoFrame.from_numpy_buffer(image, "bgr24"))

    def close(self) -> None:
        """See `Sink.close`."""
        self._writer.finish(complete=True)

    def abort(self) -> None:
        """See `Sink.abort`; the file is tagged as incomplete, and its sound ends with its pictures."""
        with contextlib.suppress(OutputError):
            self._writer.finish(complete=False)
