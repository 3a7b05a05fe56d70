"""Panoptic and semantic inference: every pixel gets a segment or a class.

Both work in strips of frame rows, so that no [queries, H, W] array is ever made (800 MB for 1024 x 2048).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fastinst_rt.categories import Categories
from fastinst_rt.postprocess.enlarge import axes
from fastinst_rt.results import Geometry

_STRIP_ROWS = 64


@dataclass(frozen=True)
class Segment:
    """One panoptic segment.

    Attributes:
        id: value in the segment map, from 1.
        class_id: index into the class table.
        is_thing: False for stuff, of which there is at most one segment a class.
        area: pixels.
        score: class probability of its (first) query, 0..1.
    """

    id: int
    class_id: int
    is_thing: bool
    area: int
    score: float


@dataclass(frozen=True)
class PanopticSegments:
    """A panoptic segmentation: `segment_map` int32 [H, W], 0 where no segment was kept."""

    segment_map: npt.NDArray[np.int32]
    segments: tuple[Segment, ...]
    categories: Categories


def semantic(pred_logits: Tensor, pred_masks: Tensor, geometry: Geometry) -> npt.NDArray[np.uint8]:
    """The best class of every pixel: argmax over classes of the sum over queries of class x mask probability.

    Args:
        pred_logits: float [Q, K+1], K at most 256.
        pred_masks: float [Q, h, w], mask logits of the padded input, at stride 8 (fine masks: 4).

    Returns:
        uint8 [H, W], class indices at frame size.
    """
    class_probability = pred_logits.detach().float().softmax(-1)[:, :-1]
    labels = torch.empty(geometry.frame, dtype=torch.uint8)
    for rows, logits in _strips(pred_masks, geometry):
        votes = torch.einsum("qk,qhw->khw", class_probability, logits.sigmoid())
        labels[rows] = votes.argmax(0).to(torch.uint8).cpu()
    return labels.numpy()


def panoptic(
    pred_logits: Tensor,
    pred_masks: Tensor,
    geometry: Geometry,
    categories: Categories,
    *,
    score: float = 0.8,
    overlap: float = 0.8,
) -> PanopticSegments:
    """Segments that share no pixel: each pixel goes to the query of the best class x mask probability.

    Args:
        pred_logits: float [Q, K+1].
        pred_masks: float [Q, h, w], mask logits of the padded input, at stride 8 (fine masks: 4).
        score: a query takes part when its best class is not no-object and is above this (published: 0.8).
        overlap: a query's segment is kept when it wins at least this share of its own mask (published: 0.8).
    """
    best, class_id = pred_logits.detach().float().softmax(-1).max(-1)
    takes_part = (class_id != len(categories)) & (best > score)
    best, class_id, logits = best[takes_part], class_id[takes_part], pred_masks.detach()[takes_part]
    empty = PanopticSegments(np.zeros(geometry.frame, np.int32), (), categories)
    if not len(best):
        return empty

    winner = torch.empty(geometry.frame, dtype=torch.int16)
    own = torch.zeros(len(best), dtype=torch.int64)
    for rows, strip in _strips(logits, geometry):
        probability = strip.sigmoid()
        inside = probability >= 0.5
        first = (best[:, None, None] * probability).argmax(0)
        # A pixel that is won with a mask probability under 0.5 belongs to nobody.
        won = inside.gather(0, first[None])[0]
        winner[rows] = torch.where(won, first, -1).to(torch.int16).cpu()
        own += inside.flatten(1).sum(1).cpu()

    return _merge(winner.numpy(), own.numpy(), best.cpu().numpy(), class_id.cpu().numpy(), categories, overlap)


def _merge(
    winner: npt.NDArray[np.int16],
    own: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float32],
    class_ids: npt.NDArray[np.int64],
    categories: Categories,
    overlap: float,
) -> PanopticSegments:
    """Number the kept queries; stuff of one class becomes one segment."""
    areas = np.bincount(winner[winner >= 0].ravel(), minlength=len(own))
    number = np.zeros(len(own) + 1, np.int32)  # the last entry serves winner == -1
    segments: list[Segment] = []
    stuff: dict[int, int] = {}
    for query in range(len(own)):
        if areas[query] == 0 or areas[query] / own[query] < overlap:
            continue
        class_id, area = int(class_ids[query]), int(areas[query])
        is_thing = categories.is_thing[class_id]
        if not is_thing and class_id in stuff:
            place = stuff[class_id]
            known = segments[place]
            segments[place] = Segment(known.id, class_id, False, known.area + area, known.score)
            number[query] = known.id
            continue
        stuff[class_id] = len(segments)
        segments.append(Segment(len(segments) + 1, class_id, is_thing, area, float(scores[query])))
        number[query] = len(segments)
    return PanopticSegments(number[winner], tuple(segments), categories)


def _strips(pred_masks: Tensor, geometry: Geometry) -> Iterator[tuple[slice, Tensor]]:
    """Mask logits at frame size, a few rows at a time: (rows, float [Q, rows, W])."""
    logits = pred_masks.detach().float()
    vertical, horizontal = axes(geometry, (logits.shape[1], logits.shape[2]))
    rows_weights = torch.from_numpy(vertical.weights).to(logits.device)
    wide = logits @ torch.from_numpy(horizontal.weights).to(logits.device).T
    for start in range(0, geometry.frame[0], _STRIP_ROWS):
        rows = slice(start, min(start + _STRIP_ROWS, geometry.frame[0]))
        yield rows, rows_weights[rows] @ wide
