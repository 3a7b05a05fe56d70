"""Ten colours that colour-blind people can tell apart, and which instance gets which."""

import numpy as np
import numpy.typing as npt

from fastinst_rt.results import Instances

# Found by a search over a 15-step RGB grid for the largest smallest distance between any two colours in OKLab, taken
# over normal vision and full protanopia, deuteranopia and tritanopia (matrices of Machado et al. 2009). The smallest
# distance is 0.102; the seven well-known Okabe-Ito colours have 0.076 by the same measure.
_RGB = (
    (75, 195, 255),  # azure
    (225, 165, 15),  # amber
    (255, 105, 150),  # pink
    (195, 240, 45),  # lime
    (120, 0, 255),  # violet
    (45, 255, 225),  # turquoise
    (195, 0, 90),  # crimson
    (120, 135, 255),  # periwinkle
    (180, 120, 0),  # ochre
    (150, 75, 165),  # plum
)

PALETTE: npt.NDArray[np.uint8] = np.array(_RGB, np.uint8)[:, ::-1].copy()
"""uint8 [10, 3], BGR."""
PALETTE.setflags(write=False)


def colours(instances: Instances) -> npt.NDArray[np.uint8]:
    """uint8 [N, 3] BGR: the colour of each instance's track where there are tracks, of its class otherwise.

    Either way an object keeps its colour from frame to frame, whatever its rank among the scores.
    """
    ids = instances.class_ids if instances.track_ids is None else instances.track_ids
    return PALETTE[ids % len(PALETTE)]


def ink(colour: npt.NDArray[np.uint8]) -> tuple[int, int, int]:
    """Black or white (BGR), whichever reads better on `colour`: the higher contrast ratio of WCAG 2."""
    return (0, 0, 0) if luminance(colour) > 0.179 else (255, 255, 255)


def luminance(colour: npt.NDArray[np.uint8]) -> float:
    """Relative luminance of a BGR colour, 0..1 (WCAG 2: linearised sRGB weighted by 0.2126, 0.7152, 0.0722)."""
    value = np.asarray(colour, np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.0722, 0.7152, 0.2126))
