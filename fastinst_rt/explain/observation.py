"""One picture through one network, with everything that the figures read."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from fastinst_rt.models.fastinst import FastInst, Trace
from fastinst_rt.postprocess import instances
from fastinst_rt.postprocess.nms import mask_nms
from fastinst_rt.preprocess import geometry, resize_exact
from fastinst_rt.results import Geometry, Instances


@dataclass(frozen=True)
class Observation:
    """What a network saw in a picture.

    Attributes:
        image: uint8 [H, W, 3], BGR.
        geometry: how the picture became the network's input.
        trace: of a batch of one.
        instances: those of at least the score asked for, by the published order of operations.
    """

    image: npt.NDArray[np.uint8]
    geometry: Geometry
    trace: Trace
    instances: Instances

    @property
    def scale(self) -> tuple[float, float]:
        """(x, y): pixels of the network's input for one pixel of the picture."""
        return (
            self.geometry.resized[1] / self.geometry.frame[1],
            self.geometry.resized[0] / self.geometry.frame[0],
        )


@torch.inference_mode()
def observe(
    net: FastInst,
    image: npt.NDArray[np.uint8],
    *,
    score: float = 0.5,
    attention: bool = False,
    short_side: int | None = None,
    max_side: int | None = None,
) -> Observation:
    """Run a network on a picture and keep its trace.

    Args:
        net: in eval mode, on any device.
        image: uint8 [H, W, 3], BGR.
        score: keep instances of at least this score.
        attention: keep the cross-attention weights too.
        short_side, max_side: network input, pixels; None for the network's own.
    """
    spec = net.spec
    shape = geometry((image.shape[0], image.shape[1]), short_side or spec.short_side, max_side or spec.max_side)
    device = next(net.parameters()).device
    resized = torch.from_numpy(resize_exact(image, shape.resized)).to(device)
    normalized = net.normalize(resized.permute(2, 0, 1)[None].float())
    bottom, right = (padded - side for padded, side in zip(shape.padded, shape.resized, strict=True))
    trace = net.trace(normalized=F.pad(normalized, (0, right, 0, bottom)), attention=attention)
    logits, masks = trace.predictions[-1]
    found = instances(logits[0], masks[0], shape, spec.categories, score=score, exact=True)
    if spec.nms_iou is not None:
        found = mask_nms(found, spec.nms_iou)
    return Observation(image, shape, trace, found)
