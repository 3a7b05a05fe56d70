"""The colours: told apart by everybody, stable, and readable under their letters."""

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from fastinst_rt.render.palette import PALETTE, colours, ink, luminance
from fastinst_rt.results import Instances

Discs = Callable[..., Instances]

# Machado, Oliveira, Fernandes 2009, severity 1.0, applied to linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_LMS = [[0.41222, 0.53633, 0.05145], [0.21190, 0.68070, 0.10740], [0.08830, 0.28172, 0.62998]]
TO_OKLAB = [[0.21045, 0.79362, -0.00407], [1.97800, -2.42859, 0.45059], [0.02590, 0.78277, -0.80868]]


def oklab(bgr: npt.NDArray[np.uint8], vision: npt.ArrayLike) -> npt.NDArray[np.float64]:
    rgb = bgr[:, ::-1] / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(vision).T, 0, 1)
    return np.cbrt(seen @ np.array(TO_LMS).T) @ np.array(TO_OKLAB).T


@pytest.mark.parametrize("vision", VISION)
def test_every_pair_is_told_apart(vision: str) -> None:
    lab = oklab(PALETTE, VISION[vision])
    closest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2))
    assert closest > 0.1  # Okabe-Ito's smallest distance by this measure is 0.076


def test_colour_belongs_to_the_class_not_to_the_rank(discs: Discs) -> None:
    instances = discs(class_ids=[0, 2, 0])
    swapped = instances.select([1, 2, 0])
    assert colours(instances)[0].tolist() == colours(instances)[2].tolist() == colours(swapped)[1].tolist()
    assert colours(instances)[1].tolist() == colours(swapped)[0].tolist()


def test_colour_belongs_to_the_track_where_there_is_one(discs: Discs) -> None:
    instances = discs(class_ids=[0, 0, 0], track_ids=[7, 8, 7])
    paint = colours(instances).tolist()
    assert paint[0] == paint[2] != paint[1]


def test_letters_contrast_with_their_plate() -> None:
    for colour in PALETTE:
        light, dark = sorted((luminance(colour), luminance(np.array(ink(colour), np.uint8))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2, level AA
