"""What the pipeline's benchmarks share: a network that only sleeps, and instances of known number and size."""

import time

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import COCO
from fastinst_rt.results import Instances, MaskCrop, Size, Timings


class SleepingNetwork:
    """Takes `seconds` a picture and no core, as a GPU would; finds `count` blobs."""

    engine_name = "sleep"

    def __init__(self, seconds: float, count: int = 10) -> None:
        self.score = 0.5
        self._seconds, self._count = seconds, count
        self._found: Instances | None = None

    def prepare(self, frame: Size) -> None:
        """Makes the instances once: only the pipeline is to be measured."""
        self._found = blobs(frame, self._count, Timings(engine=self._seconds))

    def __call__(self, _: npt.NDArray[np.uint8]) -> Instances:
        """Sleeps."""
        time.sleep(self._seconds)
        assert self._found is not None
        return self._found


def blobs(size: Size, count: int, timings: Timings | None = None) -> Instances:
    """`count` wavy blobs of a tenth to a half of the picture's height, always the same ones."""
    height, width = size
    rng = np.random.default_rng(0)
    crops, boxes = [], []
    for _ in range(count):
        radius = rng.uniform(0.05, 0.25) * height
        angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
        reach = radius * (1 + 0.25 * np.sin(angles * rng.integers(2, 6)) + 0.06 * rng.standard_normal(90))
        centre = rng.uniform(radius * 1.4, np.array([width, height]) - radius * 1.4)
        points = np.stack([np.cos(angles), np.sin(angles)], axis=1) * reach[:, None] + centre
        canvas = np.zeros(size, np.uint8)
        cv2.fillPoly(canvas, [points.round().astype(np.int32)], 1)
        x, y, w, h = cv2.boundingRect(canvas)
        crops.append(MaskCrop(x, y, canvas[y : y + h, x : x + w].astype(bool)))
        boxes.append((x, y, x + w, y + h))
    return Instances(
        size,
        np.linspace(0.97, 0.5, count).astype(np.float32),
        rng.integers(0, 80, count),
        np.array(boxes, np.float32).reshape(-1, 4),
        tuple(crops),
        COCO,
        timings=timings or Timings(),
    )
