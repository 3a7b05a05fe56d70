"""Decoded pictures of any pixel format -> upright BGR arrays of one size."""

import math
import struct
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

_BT709, _BT601 = 1, 6
_YUV_MATRIX_UNKNOWN = (0, 2, 3)
"""H.273 matrix codes that say nothing about YUV: identity, unspecified, reserved."""

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


def assumed_matrix(matrix: int, height: int) -> int:
    """The YUV matrix to calculate with: the stated one, or BT.709 from 720 lines up and BT.601 below, as players do."""
    if matrix not in _YUV_MATRIX_UNKNOWN:
        return matrix
    return _BT709 if height >= 720 else _BT601


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """How a decoded frame must be turned to stand upright: (degrees clockwise, then mirrored left to right).

    Read from the display matrix that phones write; angles between quarter turns go to the nearest. Not for every frame:
    side data and frame refer to each other, and so each frame read this way stays in memory until the garbage collector
    comes by (280 MiB more, after 500 frames of 720p).
    """
    try:
        data = bytes(cast(Any, frame.side_data)["DISPLAYMATRIX"])  # PyAV's stub knows motion vectors only
    except KeyError:
        return 0, False
    a, b, _, c, d, *_ = struct.unpack("=9i", data)  # 16.16 fixed point, rows (a b u) (c d v) (x y w)
    mirrored = a * d - b * c < 0
    if mirrored:
        a, c = -a, -c
    return round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360, mirrored


class PictureConverter:
    """Turns decoded frames into uint8 [H, W, 3] BGR, upright, all of the first frame's size.

    It holds the one reformatter of its stream, which sets its scaler up once; frames would each make their own.

    Args:
        first: the first decoded frame; it decides the size,
        size: unless (width, height) is given.

    Attributes:
        width, height: upright, pixels.
        rotation: degrees clockwise applied to the first frame.
        resized: frames that came in another size and were scaled to the first one's.
    """

    def __init__(self, first: VideoFrame, size: tuple[int, int] | None = None) -> None:
        self._angle, self._orientation = first.rotation, orientation(first)
        self.rotation, _ = self._orientation
        turned = self.rotation in (90, 270)
        self.width, self.height = size or ((first.height, first.width) if turned else (first.width, first.height))
        self.resized = 0
        self._reformatter = VideoReformatter()

    def convert(self, frame: VideoFrame) -> npt.NDArray[np.uint8]:
        """uint8 [height, width, 3] BGR."""
        if frame.rotation != self._angle:
            self._angle, self._orientation = frame.rotation, orientation(frame)
        rotation, mirrored = self._orientation
        width, height = (self.height, self.width) if rotation in (90, 270) else (self.width, self.height)
        if (frame.width, frame.height) != (width, height):
            self.resized += 1
        if not frame.format.is_rgb:
            frame.colorspace = assumed_matrix(frame.colorspace, self.height)
        bgr = self._reformatter.reformat(frame, width, height, "bgr24", interpolation=Interpolation.BILINEAR)
        image = np.asarray(bgr.to_ndarray(), np.uint8)
        if rotation:
            image = cv2.rotate(image, _TURNS[rotation])
        return np.ascontiguousarray(image[:, ::-1]) if mirrored else image
