"""The mask path on the GPU against the one on the host: the same instances, and the time of each."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_run import Plan, summary
from fastinst_rt.bench.measure import Variant, measure
from fastinst_rt.bench.pictures import scene
from fastinst_rt.bench.timers import host_timer
from fastinst_rt.categories import COCO
from fastinst_rt.postprocess import instances
from fastinst_rt.postprocess.on_device import DeviceInstances, find, label_map, paint
from fastinst_rt.preprocess import geometry, padded_size
from fastinst_rt.results import Size


def check_masks(plan: Plan, found: dict[str, Any]) -> None:
    """The mask path on the device against the one on the host: same instances, and the time of each."""
    shape = geometry(plan.frame, 640, 853)
    for count in (5, 30):
        logits, masks = (part.to(plan.device) for part in blobs(padded_size(shape.resized), count))
        on_device = DeviceInstances()
        ours, theirs = on_device(logits, masks, shape, COCO), instances(logits, masks, shape, COCO)
        pairs = zip(ours.masks, theirs.masks, strict=True)
        found[f"{count} instances"] = result = {
            "on_device": len(ours),
            "on_host": len(theirs),
            "same_classes": ours.class_ids.tolist() == theirs.class_ids.tolist(),
            "least_iou": min((float((a & b).sum() / max(1, (a | b).sum())) for a, b in pairs), default=1.0),
        }
        frame = torch.from_numpy(scene(plan.frame)).to(plan.device)
        colours = torch.randint(0, 256, (on_device.room, 3), dtype=torch.uint8, device=plan.device)
        result["timings"] = _time_masks(plan, logits, masks, frame, colours, on_device)


def _time_masks(
    plan: Plan,
    logits: torch.Tensor,
    masks: torch.Tensor,
    frame: torch.Tensor,
    colours: torch.Tensor,
    on_device: DeviceInstances,
) -> dict[str, Any]:
    shape = geometry(plan.frame, 640, 853)

    def overlay() -> torch.Tensor:
        chosen = find(logits, masks, shape, score=0.5, classes=None, room=on_device.room)
        return paint(frame, label_map(chosen), colours, 0.42)

    calls: dict[str, Callable[[], object]] = {
        "instances on the device, one copy": lambda: on_device(logits, masks, shape, COCO),
        "instances on the host": lambda: instances(logits, masks, shape, COCO),
        "overlay on the device": overlay,
        "overlay on the device, copied to the host": lambda: overlay().cpu(),
    }
    variants = {name: Variant(call, host_timer(plan.device)) for name, call in calls.items()}
    return {name: summary(value) for name, value in measure(variants, plan.protocol).items()}


def blobs(padded: Size, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [100, 81] and [100, h, w] of `count` sure ellipses among 100 queries."""
    random = np.random.default_rng(count)
    height, width = padded[0] // 8, padded[1] // 8
    y, x = np.mgrid[:height, :width].astype(np.float32)
    masks = np.empty((100, height, width), np.float32)
    for mask in masks:
        cy, cx = random.uniform(0, height), random.uniform(0, width)
        ry, rx = random.uniform(2, height / 4), random.uniform(2, width / 6)
        mask[:] = np.clip(8 * (1 - ((y - cy) / ry) ** 2 - ((x - cx) / rx) ** 2), -20, 20)
    logits = random.normal(0, 0.3, (100, 81)).astype(np.float32)
    logits[:, -1] += 6
    logits[np.arange(count), random.integers(0, 80, count)] += 14
    return torch.from_numpy(logits), torch.from_numpy(masks)
