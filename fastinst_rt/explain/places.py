"""Where queries sit: the places that IA-guided selection picks, and which instances have one inside."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from fastinst_rt.errors import UsageError
from fastinst_rt.explain.observation import Observation
from fastinst_rt.models.queries import LEAST_PEAK, proposal_ranks
from fastinst_rt.results import Geometry

STRIDE = 16
"""Input pixels a cell of the map that places are picked from."""


@dataclass(frozen=True)
class QueryPlaces:
    """Places of queries, in the order they are picked.

    Attributes:
        cells: int64 [N, 2], (row, column) on the stride-16 map of the padded input.
        scores: float32 [N], probability of the best class there.
        class_ids: int64 [N], that class.
        is_peak: bool [N], whether the place is a local maximum of its class.
    """

    cells: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    is_peak: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def xy(self) -> npt.NDArray[np.float64]:
        """float64 [N, 2]: centres of the cells, (x, y) in pixels of the padded input."""
        return np.asarray((self.cells[:, ::-1] + 0.5) * STRIDE, np.float64)


@torch.inference_mode()
def query_places(observation: Observation, count: int, *, local_maximum_first: bool = True) -> QueryPlaces:
    """The first `count` places the network's own selection picks (all cells, where there are fewer).

    The switch needs no second forward pass: both ways rank the same proposal map.

    Raises:
        UsageError: if the network's queries are learnable and have no places.
    """
    logits = observation.trace.proposal_logits
    if logits is None:
        raise UsageError("The queries of this network are learnable: they have no places.", "Choose a FastInst model.")
    probabilities = logits.softmax(1)[:, :-1]
    ranks = proposal_ranks(probabilities, local_maximum_first=local_maximum_first).flatten()
    peaks = proposal_ranks(probabilities, local_maximum_first=True).flatten() >= LEAST_PEAK
    best, classes = probabilities[0].flatten(1).max(0)
    chosen = ranks.topk(min(count, ranks.numel())).indices
    width = logits.shape[-1]
    return QueryPlaces(
        cells=torch.stack((chosen // width, chosen % width), 1).cpu().numpy(),
        scores=best[chosen].float().cpu().numpy(),
        class_ids=classes[chosen].cpu().numpy(),
        is_peak=peaks[chosen].cpu().numpy(),
    )


def covered(places: QueryPlaces, masks: npt.NDArray[np.bool_], geometry: Geometry) -> npt.NDArray[np.bool_]:
    """Which instances have a query inside.

    A query is inside an instance if the centre of its cell is.

    Args:
        masks: bool [n, H, W], instances at the picture's size.

    Returns:
        bool [n].
    """
    (height, width), (padded_height, padded_width) = geometry.resized, geometry.padded
    rows, columns = (places.cells * STRIDE + STRIDE // 2).T
    inside = np.zeros(len(masks), np.bool_)
    for i, mask in enumerate(masks):
        padded = np.zeros((padded_height, padded_width), np.uint8)
        padded[:height, :width] = cv2.resize(mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        inside[i] = padded[rows, columns].any()
    return inside
