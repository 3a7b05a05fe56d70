"""The head-up display: a dark panel with a few lines in the corner of a picture."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.render.overlay import text_size
from fastinst_rt.render.text import coverage

HEADING = (255, 255, 255)
BODY = (215, 215, 215)
DARKEN = 0.38
"""What is left of the picture's brightness under the panel: white letters have a contrast over 4.5 on any picture."""


def draw_hud(image: npt.NDArray[np.uint8], lines: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Draws `lines` into the top left corner of `image`, in place; the first line is brighter.

    Args:
        image: uint8 [H, W, 3], BGR.

    Returns:
        The same array.
    """
    if not lines:
        return image
    height, width = image.shape[:2]
    size = text_size((height, width))
    letters = [coverage(line, size) for line in lines]
    margin = size * 3 // 4
    step = round(letters[0].shape[0] * 1.08)
    panel_h = min(height, step * len(lines) + margin)
    panel_w = min(width, max(line.shape[1] for line in letters) + 2 * margin)
    panel = image[:panel_h, :panel_w]
    panel[:] = cv2.convertScaleAbs(panel, alpha=DARKEN)
    for row, line in enumerate(letters):
        top = margin // 2 + row * step
        target = panel[top : top + line.shape[0], margin : margin + line.shape[1]]
        cover = line[: target.shape[0], : target.shape[1], None].astype(np.float32) / 255
        ink = np.array(HEADING if row == 0 else BODY, np.float32)
        target[:] = np.rint(cover * ink + (1 - cover) * target).astype(np.uint8)
    return image
