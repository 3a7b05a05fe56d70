"""The time of picking query places alone: the difference of table III's pairs is too small to see in whole networks."""

import numpy as np
import torch

from fastinst_rt.bench.measure import Variant, measure
from fastinst_rt.bench.suites.common import Settings
from fastinst_rt.bench.timers import Call, device_timer
from fastinst_rt.models.queries import proposal_ranks
from fastinst_rt.results import Geometry

_CLASSES, _QUERIES = 80, 100


def selection_cost(settings: Settings, shape: Geometry, device: str) -> dict[str, float]:
    """Median seconds of ranking and picking 100 places on the stride-16 map, both ways, interleaved.

    Returns:
        "by score alone" and "local maxima first" -> seconds.
    """
    height, width = (side // 16 for side in shape.padded)
    random = torch.Generator().manual_seed(0)
    probabilities = torch.rand(1, _CLASSES, height, width, generator=random).softmax(1).to(device)
    picked = min(_QUERIES, height * width)

    def pick(local_maximum_first: bool) -> Call:
        @torch.inference_mode()
        def call() -> None:
            proposal_ranks(probabilities, local_maximum_first=local_maximum_first).flatten(1).topk(picked)

        return call

    timer = device_timer(device)
    variants = {
        "by score alone": Variant(pick(False), timer),
        "local maxima first": Variant(pick(True), timer),
    }
    found = measure(variants, settings.protocol)
    return {name: float(np.median(measurement.samples)) for name, measurement in found.items()}
