"""Antialiased text on small coloured plates, kept in a cache because labels repeat from frame to frame.

The font is the TrueType face inside Pillow (Latin letters): OpenCV's Hershey strokes are hard to read below 15 pixels,
and a cached plate costs one slice assignment.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
"""BGR, 0..255."""


@lru_cache(maxsize=16)
def font(size: int) -> Any:
    """Pillow's own face at `size` pixels."""
    return ImageFont.load_default(size)


@lru_cache(maxsize=512)
def coverage(text: str, size: int) -> npt.NDArray[np.uint8]:
    """uint8 [h, w]: how much of each pixel the letters cover, 0..255; h is the same for every text of a size."""
    face = font(size)
    ascent, descent = face.getmetrics()
    width = max(1, round(face.getlength(text)))
    canvas = Image.new("L", (width, ascent + descent), 0)
    ImageDraw.Draw(canvas).text((0, 0), text, fill=255, font=face)
    return np.asarray(canvas)


@lru_cache(maxsize=512)
def plate(text: str, size: int, ink: Colour, paper: Colour) -> npt.NDArray[np.uint8]:
    """uint8 [h, w, 3] BGR: `text` in `ink` on a plate of `paper`, with a margin of a third of the letters' size."""
    letters = coverage(text, size)
    margin, edge = max(2, size // 3), max(1, size // 8)
    alpha = np.pad(letters, ((edge, edge), (margin, margin)))[..., None].astype(np.float32) / 255
    mixed = alpha * np.array(ink, np.float32) + (1 - alpha) * np.array(paper, np.float32)
    blended: npt.NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    blended.setflags(write=False)  # the cache hands the same array to everybody
    return blended
