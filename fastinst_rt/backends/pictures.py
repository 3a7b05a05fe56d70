"""Pictures that engines are proven and calibrated on: the user's own, or drawn ones where none are given."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.pictures import find_pictures, read_picture
from fastinst_rt.preprocess import resize_exact
from fastinst_rt.results import Size

Picture = npt.NDArray[np.uint8]


def read_pictures(folder: Path, limit: int) -> list[Picture]:
    """Up to `limit` pictures of a folder, evenly spread over its sorted names; uint8 [H, W, 3] BGR each.

    Raises:
        SourceOpenError: if the folder holds no picture, or one cannot be read.
    """
    paths = find_pictures([str(folder)])
    return [read_picture(paths[i]) for i in np.linspace(0, len(paths) - 1, min(limit, len(paths))).astype(int)]


def fit(pictures: Sequence[Picture], size: Size) -> list[Picture]:
    """BGR pictures of any size -> RGB of exactly `size`, stretched: an engine's shape is fixed."""
    return [resize_exact(picture, size) for picture in pictures]


def drawn_pictures(count: int, size: Size) -> list[Picture]:
    """Pictures with shapes of many sizes before a textured ground; uint8 [h, w, 3], the same for every call.

    They stand in where nobody has real ones: edges, flat parts, gradients and noise make the network take all its
    ways. They say nothing about accuracy.
    """
    return [_draw(np.random.default_rng(seed), size) for seed in range(count)]


def _draw(random: np.random.Generator, size: Size) -> Picture:
    height, width = size
    coarse = random.integers(0, 256, (5, 7, 3), np.uint8)
    image: Picture = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    for _ in range(12):
        centre = (int(random.integers(width)), int(random.integers(height)))
        axes = (int(random.integers(4, width // 4 + 5)), int(random.integers(4, height // 4 + 5)))
        colour = tuple(int(c) for c in random.integers(0, 256, 3))
        if random.random() < 0.5:
            cv2.ellipse(image, centre, axes, float(random.integers(180)), 0, 360, colour, -1, cv2.LINE_AA)
        else:
            corner = (centre[0] + axes[0], centre[1] + axes[1])
            cv2.rectangle(image, centre, corner, colour, -1)
    noise = random.normal(0, 6, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)
