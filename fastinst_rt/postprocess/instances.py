"""Instance inference: which (query, class) pairs are instances, how sure, and where their masks are.

Two paths, one result. `exact` follows the published order of operations to the letter. The fast one chooses first and
enlarges only what may be kept; the enlarged logits are the same numbers (see enlarge.py), so the two differ only in
the sampled mean of large masks.
"""

from collections.abc import Iterable
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from fastinst_rt.categories import Categories
from fastinst_rt.postprocess.blas import SingleThreadedBlas
from fastinst_rt.postprocess.enlarge import box, enlarge, highest_mask_scores, trim
from fastinst_rt.results import Geometry, Instances, MaskCrop, Timings

MAX_PAIRS = 100
"""Pairs of (query, class) looked at, best class probability first (published: 100 detections a picture)."""

_BLAS = SingleThreadedBlas()


def instances(
    pred_logits: Tensor,
    pred_masks: Tensor,
    geometry: Geometry,
    categories: Categories,
    *,
    score: float = 0.5,
    max_instances: int = 100,
    classes: Iterable[int] | None = None,
    exact: bool = False,
) -> Instances:
    """Instances of one picture, best score first.

    Args:
        pred_logits: float [Q, K+1], class logits; the last column is no-object.
        pred_masks: float [Q, h, w], mask logits of the padded input, at stride 8 (fine masks: 4).
        geometry: how the frame became the input; masks and boxes come out at `geometry.frame`.
        categories: class table of K entries.
        score: keep instances of at least this score (class probability x mean mask probability inside the mask).
        max_instances: at most this many, 1..100.
        classes: class indices to look at; None for all.
        exact: follow the published order of operations (all masks enlarged in two steps, scores at full size).

    Returns:
        Instances with `timings.select` and `timings.enlarge` filled.
    """
    start = perf_counter()
    pair_score, query, class_id = _best_pairs(pred_logits, classes)
    find = _enlarge_all if exact else _enlarge_chosen
    with _BLAS:
        chosen, scores, crops, enlarge_seconds = find(pred_masks, geometry, pair_score, query, score, max_instances)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= score][:max_instances]
    crops = [crops[i] for i in order]
    return Instances(
        size=geometry.frame,
        scores=scores[order],
        class_ids=class_id[chosen[order]],
        boxes=np.array([box(crop) for crop in crops], np.float32).reshape(-1, 4),
        crops=tuple(crops),
        categories=categories,
        timings=Timings(select=perf_counter() - start - enlarge_seconds, enlarge=enlarge_seconds),
    )


_Found = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], list[MaskCrop], float]
"""Indices of the pairs found, their scores, their masks, and the seconds that enlarging took."""


def _best_pairs(
    pred_logits: Tensor, classes: Iterable[int] | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Class probability, query and class of the best pairs; a query may appear more than once."""
    probability = pred_logits.detach().float().softmax(-1)[:, :-1]
    wanted = (
        torch.arange(probability.shape[1]) if classes is None else torch.tensor(sorted(set(classes)), dtype=torch.long)
    )
    probability = probability[:, wanted.to(probability.device)].cpu()
    best = probability.flatten().topk(min(MAX_PAIRS, probability.numel()))
    query = best.indices // max(1, len(wanted))
    class_id = wanted[best.indices % max(1, len(wanted))]
    return best.values.numpy(), query.numpy(), class_id.numpy()


def _enlarge_chosen(
    pred_masks: Tensor,
    geometry: Geometry,
    pair_score: npt.NDArray[np.float32],
    query: npt.NDArray[np.int64],
    score: float,
    max_instances: int,
) -> _Found:
    """Enlarge only pairs that can be kept: a mask score is at most 1, so the class probability bounds the score."""
    candidates = np.flatnonzero(pair_score >= score)
    unique, where = np.unique(query[candidates], return_inverse=True)
    logits = pred_masks.detach()[torch.from_numpy(unique).to(pred_masks.device)].float().cpu()

    highest = pair_score[candidates]
    if len(candidates) > max_instances:
        highest = highest * highest_mask_scores(logits, geometry)[where]

    start = perf_counter()
    found: dict[int, tuple[MaskCrop, float]] = {}
    chosen: list[int] = []
    scores: list[float] = []
    for i in np.argsort(-highest, kind="stable"):
        if len(scores) >= max_instances and highest[i] < sorted(scores)[-max_instances]:
            break  # neither this pair nor any after it can be among the best
        mask = int(where[i])
        if mask not in found:
            found[mask] = enlarge(logits[mask].numpy(), geometry)
        chosen.append(int(i))
        scores.append(float(pair_score[candidates[i]]) * found[mask][1])
    crops = [found[int(where[i])][0] for i in chosen]
    seconds = perf_counter() - start
    return candidates[chosen], np.array(scores, np.float32), crops, seconds


def _enlarge_all(
    pred_masks: Tensor,
    geometry: Geometry,
    pair_score: npt.NDArray[np.float32],
    query: npt.NDArray[np.int64],
    score: float,  # noqa: ARG001  (the published code applies no threshold before the end)
    max_instances: int,  # noqa: ARG001
) -> _Found:
    """The published way: every mask to the padded size, cropped, to the frame's size; then scores, then choice."""
    start = perf_counter()
    full = enlarge_published(pred_masks.detach(), geometry)[torch.from_numpy(query).to(pred_masks.device)]
    inside = (full > 0).float()
    mask_score = (full.sigmoid().flatten(1) * inside.flatten(1)).sum(1) / (inside.flatten(1).sum(1) + 1e-6)
    masks = inside.bool().cpu().numpy()
    crops = [trim(mask) for mask in masks]
    seconds = perf_counter() - start
    return np.arange(len(query)), pair_score * mask_score.cpu().numpy(), crops, seconds


def enlarge_published(pred_masks: Tensor, geometry: Geometry) -> Tensor:
    """float [Q, H, W]: mask logits at frame size in the two published steps."""
    padded = F.interpolate(pred_masks[None].float(), geometry.padded, mode="bilinear", align_corners=False)
    cropped = padded[:, :, : geometry.resized[0], : geometry.resized[1]]
    return F.interpolate(cropped, geometry.frame, mode="bilinear", align_corners=False)[0]
