"""Instances made for drawing tests."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest

from fastinst_rt.categories import COCO
from fastinst_rt.results import Instances, MaskCrop, Size


def make_discs(
    class_ids: Sequence[int],
    size: Size = (240, 320),
    centres: Sequence[tuple[int, int]] | None = None,
    radius: int = 30,
    track_ids: Sequence[int] | None = None,
) -> Instances:
    """One disc an instance, at `centres` (x, y) or side by side."""
    count = len(class_ids)
    centres = centres or [(40 + 80 * i, 120) for i in range(count)]
    full = np.zeros((count, *size), np.uint8)
    crops, boxes = [], []
    for layer, (x, y) in zip(full, centres, strict=True):
        cv2.circle(layer, (x, y), radius, 1, -1)
        left, top, width, height = cv2.boundingRect(layer)
        crops.append(MaskCrop(left, top, layer[top : top + height, left : left + width].astype(bool)))
        boxes.append((left, top, left + width, top + height))
    return Instances(
        size=size,
        scores=np.linspace(0.95, 0.55, count).astype(np.float32),
        class_ids=np.array(class_ids, np.int64),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        crops=tuple(crops),
        categories=COCO,
        track_ids=None if track_ids is None else np.array(track_ids, np.int64),
    )


@pytest.fixture(scope="session")
def discs() -> Callable[..., Instances]:
    """The maker of samples."""
    return make_discs
