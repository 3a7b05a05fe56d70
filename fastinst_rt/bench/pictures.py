"""Pictures to measure on: drawn, so that every machine has the same ones and nothing needs to be downloaded."""

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.results import Size


def scene(size: Size, seed: int = 0) -> npt.NDArray[np.uint8]:
    """A street-like drawing: sky, ground, a dozen figures, sensor noise (so that no resize or codec gets it for free).

    Args:
        size: (height, width), pixels.
        seed: another seed, another scene.

    Returns:
        uint8 [H, W, 3], BGR.
    """
    height, width = size
    random = np.random.default_rng(seed)
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2] = (200, 170, 130)
    image[height // 2 :] = (90, 95, 100)
    for _ in range(12):
        x, y = int(random.integers(0, width)), int(random.integers(height // 3, height))
        tall = int(height * random.uniform(0.05, 0.3)) + 1
        colour = tuple(int(v) for v in random.integers(0, 256, 3))
        cv2.ellipse(image, (x, y), (tall // 3 + 1, tall), 0, 0, 360, colour, -1)
        cv2.circle(image, (x, y - tall), tall // 4 + 1, colour[::-1], -1)
    noise = random.integers(-8, 9, image.shape, np.int16)
    noisy: npt.NDArray[np.uint8] = np.clip(image + noise, 0, 255).astype(np.uint8)
    return noisy
