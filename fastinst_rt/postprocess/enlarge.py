"""Mask logits at stride 8 (fine masks: 4) -> mask logits at frame size, as the product of two small matrices.

The published code enlarges in two steps (bilinear to the padded input, crop, bilinear to the frame). Bilinear
interpolation is separable and linear, so both steps and the crop together are `rows @ logits @ columns.T` with
`rows` [frame height, h] and `columns` [frame width, w]: the same numbers up to rounding, for any part of the frame,
at the cost of that part alone.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastinst_rt.results import Geometry, MaskCrop, Size

Floats = npt.NDArray[np.float32]

# Columns of the frame enlarged by one matrix product. A row of `columns` has two or three entries that are not zero,
# so narrow blocks skip the zeros: a full-frame mask at 1080p takes 1.7 ms in blocks of 128, 5.3 ms in one product.
_BLOCK = 128

# The mean mask probability of a large mask is read off a grid of about this many pixels of its rectangle: 2e-4 from the
# mean over all pixels on average, for a tenth of the time.
_SCORE_SAMPLES = 65536

# The mean read off a coarse grid is at most this far from the mean over all pixels when the grid has so many pixels
# inside the mask (3,000 drawn masks from 20 pixels to half the frame, 480p to 1080p; 1,200 masks of real pictures).
_FEW_SAMPLES = 64
_SAMPLING_MARGIN = 0.05


def _linear(inputs: int, outputs: int) -> npt.NDArray[np.float64]:
    """float64 [outputs, inputs]: linear interpolation with align_corners=False, as the networks use everywhere."""
    place = np.clip((np.arange(outputs) + 0.5) * (inputs / outputs) - 0.5, 0, inputs - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, inputs - 1)
    weights = np.zeros((outputs, inputs))
    each = np.arange(outputs)
    np.add.at(weights, (each, low), 1 - (place - low))
    np.add.at(weights, (each, high), place - low)
    return weights


@dataclass(frozen=True)
class Axis:
    """One direction of the enlargement.

    Attributes:
        weights: float32 [frame pixels, cells], rows sum to 1.
        reach: int64 [cells, 2], first and one-past-last frame pixel that a cell has weight in (0, 0 for a cell that
            lies in the padding).
        support: int64 [frame pixels, 2], first and one-past-last cell with weight in a frame pixel.
    """

    weights: Floats
    reach: npt.NDArray[np.int64]
    support: npt.NDArray[np.int64]

    @classmethod
    def compose(cls, cells: int, padded: int, resized: int, frame: int) -> "Axis":
        """Cells -> padded pixels -> crop to resized -> frame pixels."""
        weights = _linear(resized, frame) @ _linear(cells, padded)[:resized]
        return cls(weights.astype(np.float32), _extent(weights.T != 0), _extent(weights != 0))


def _extent(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """int64 [rows, 2]: first and one-past-last True of every row; 0, 0 for a row without any."""
    some = mask.any(axis=1)
    first = np.where(some, mask.argmax(axis=1), 0)
    last = np.where(some, mask.shape[1] - mask[:, ::-1].argmax(axis=1), 0)
    return np.stack([first, last], axis=1)


@lru_cache(maxsize=8)
def axes(geometry: Geometry, cells: Size) -> tuple[Axis, Axis]:
    """The (vertical, horizontal) enlargement of mask logits with `cells` = (h, w) to the frame of `geometry`."""
    vertical = Axis.compose(cells[0], geometry.padded[0], geometry.resized[0], geometry.frame[0])
    horizontal = Axis.compose(cells[1], geometry.padded[1], geometry.resized[1], geometry.frame[1])
    return vertical, horizontal


def highest_mask_scores(logits: Tensor, geometry: Geometry) -> Floats:
    """What the mean mask probability inside each mask can be at most, without enlarging it.

    Read at two frame pixels a cell in both directions, plus a margin. A mask with few such pixels is bounded by its
    largest logit instead, which interpolation cannot exceed.

    Args:
        logits: float32 [N, h, w].

    Returns:
        float32 [N], 0 for an empty mask.
    """
    cells = (logits.shape[1], logits.shape[2])
    vertical, horizontal = axes(geometry, cells)
    rows, columns = (
        torch.from_numpy(axis.weights[_grid(len(axis.weights), padded, resized, count)])
        for axis, padded, resized, count in zip(
            (vertical, horizontal), geometry.padded, geometry.resized, cells, strict=True
        )
    )
    fine = rows @ logits @ columns.T
    inside = fine > 0
    count = inside.sum((1, 2))
    mean = fine.sigmoid_().mul_(inside).sum((1, 2)) / count.clamp(min=1)
    largest = logits.amax((1, 2))
    bound = torch.where(count < _FEW_SAMPLES, largest.sigmoid(), mean + _SAMPLING_MARGIN)
    highest: Floats = torch.where(largest > 0, bound.clamp(max=1), 0).numpy()
    return highest


def _grid(frame: int, padded: int, resized: int, cells: int) -> npt.NDArray[np.int64]:
    """Frame pixels half a cell apart."""
    step = max(1, round(frame * padded / (2 * resized * cells)))
    return np.arange(step // 2, frame, step)


def enlarge(logits: Floats, geometry: Geometry) -> tuple[MaskCrop, float]:
    """One mask at frame size, computed only where it can be positive.

    Args:
        logits: float32 [h, w], one query's mask logits.

    Returns:
        The mask in its tight rectangle, and the mean mask probability inside it (0..1; 0 for an empty mask).
    """
    vertical, horizontal = axes(geometry, (logits.shape[0], logits.shape[1]))
    # Interpolated logits are averages of cells: a frame pixel can only be positive where a positive cell has weight.
    x, y, width, height = cv2.boundingRect((logits > 0).view(np.uint8))
    top, bottom = _span(vertical.reach[y : y + height])
    left, right = _span(horizontal.reach[x : x + width])
    if top >= bottom or left >= right:
        return MaskCrop(0, 0, np.zeros((0, 0), np.bool_)), 0.0

    first, last = _span(vertical.support[top:bottom])
    tall = vertical.weights[top:bottom, first:last] @ logits[first:last]
    mask = np.empty((bottom - top, right - left), np.bool_)
    step = max(1, int((mask.size / _SCORE_SAMPLES) ** 0.5))
    total, count = 0.0, 0
    for start in range(left, right, _BLOCK):
        stop = min(start + _BLOCK, right)
        first, last = _span(horizontal.support[start:stop])
        block = tall[:, first:last] @ horizontal.weights[start:stop, first:last].T
        np.greater(block, 0, out=mask[:, start - left : stop - left])
        sample = block[step // 2 :: step, (step // 2 - (start - left)) % step :: step]
        inside = sample[sample > 0]
        total += float(np.sum(1 / (1 + np.exp(-inside))))
        count += inside.size
    return trim(mask, left, top), total / (count + 1e-6)


def trim(mask: npt.NDArray[np.bool_], left: int = 0, top: int = 0) -> MaskCrop:
    """A mask whose first pixel is at (left, top) of the frame, cut to its tight rectangle (a copy frees the rest)."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if width == 0 or height == 0:
        return MaskCrop(0, 0, np.zeros((0, 0), np.bool_))
    return MaskCrop(left + x, top + y, mask[y : y + height, x : x + width].copy())


def box(crop: MaskCrop) -> tuple[int, int, int, int]:
    """xyxy of a crop in pixels, x2 and y2 exclusive."""
    height, width = crop.mask.shape
    return crop.left, crop.top, crop.left + width, crop.top + height


def _span(extents: npt.NDArray[np.int64]) -> tuple[int, int]:
    """The union of [first, last) ranges; (0, 0) where all are empty."""
    filled = extents[extents[:, 1] > extents[:, 0]]
    if not len(filled):
        return 0, 0
    return int(filled[:, 0].min()), int(filled[:, 1].max())
