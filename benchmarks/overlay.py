"""What masks and drawing cost: the network's mask logits -> kept masks at frame size -> annotated picture.

One thread; the time is that of the core, so that other work on the machine disturbs it little.

python benchmarks/overlay.py
"""

import time

import cv2
import numpy as np
import torch
from stand_ins import blobs

from fastinst_rt.categories import COCO
from fastinst_rt.postprocess import instances
from fastinst_rt.preprocess import geometry
from fastinst_rt.render import Layers, Overlay, draw_hud

QUERIES, KEPT, ROUNDS = 100, 10, 60
HUD = ["30.0 FPS    engine 20.0 ms    age 40 ms", "clip.mp4    fastinst on openvino", "frame 100    dropped none"]


def main() -> None:
    """Prints the median and the 95th percentile of every step at 720p and 1080p."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    for height, width in ((720, 1280), (1080, 1920)):
        found = blobs((height, width), KEPT)
        shape = geometry((height, width), 576, 1024)
        logits, masks = network_output(found.masks, (shape.padded[0] // 8, shape.padded[1] // 8))
        picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        overlay = Overlay(Layers(boxes=True))
        steps: dict[str, list[float]] = {"masks": [], "overlay": [], "display": []}
        for _ in range(ROUNDS):
            start = time.thread_time()
            kept = instances(logits, masks, shape, COCO, score=0.5)
            selected = time.thread_time()
            drawn = overlay.draw(picture, kept)
            annotated = time.thread_time()
            draw_hud(drawn, HUD)
            end = time.thread_time()
            assert len(kept) == KEPT
            for name, seconds in zip(steps, (selected - start, annotated - selected, end - annotated), strict=True):
                steps[name].append(1e3 * seconds)
        steps["sum"] = list(np.sum(list(steps.values()), axis=0))
        for name, times in steps.items():
            p50, p95 = np.percentile(times, [50, 95])
            print(f"{height}p, {KEPT} instances: {name:8s} {p50:6.2f} ms, p95 {p95:6.2f} ms")


def network_output(found: np.ndarray, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Class logits [100, 81] and mask logits [100, h, w] of a network that found these masks."""
    logits = torch.zeros(QUERIES, 81)
    logits[:, 80] = 12.0
    masks = torch.full((QUERIES, *size), -8.0)
    for i, mask in enumerate(found):
        logits[i, 80], logits[i, i] = 0.0, 12.0
        small = cv2.resize(mask.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_AREA)
        masks[i] = torch.from_numpy(small) * 16 - 8
    return logits, masks


if __name__ == "__main__":
    main()
