"""The losses as pure functions of predictions, matched pairs and labels."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fastinst_rt.training.matcher import Pairs, query_locations
from fastinst_rt.training.points import RandomPoints, sample_at, uncertain_points
from fastinst_rt.training.targets import Target


def class_loss(
    logits: Tensor,
    pairs: Sequence[Pairs],
    targets: Sequence[Target],
    locations: Tensor | None,
    no_object_weight: float,
) -> Tensor:
    """Cross-entropy of the queries' classes; a query without an instance should say no-object.

    Classes that are not labelled where a query sits are left out of its softmax, except the class it is matched to. A
    query that sits where nothing is labelled and has no instance does not count at all.

    Args:
        logits: float [B, Q, K+1].
        locations: float [B, Q, 2], the queries' places, or None for queries that have none.
        no_object_weight: weight of queries without an instance in the weighted mean.

    Returns:
        scalar.
    """
    no_object = logits.shape[-1] - 1
    wanted = torch.full(logits.shape[:2], no_object, device=logits.device)
    for row, (queries, instances), target in zip(wanted, pairs, targets, strict=True):
        row[queries] = target.class_ids[instances]
    weight = torch.where(wanted == no_object, no_object_weight, 1.0)
    return partial_cross_entropy(logits, wanted, _labelled(targets, locations, logits.shape[1]), weight)


def proposal_loss(logits: Tensor, pairs: Sequence[Pairs], targets: Sequence[Target]) -> Tensor:
    """Cross-entropy over all cells of the proposal map, every cell with the same weight.

    Partial labels as in `class_loss`.

    Args:
        logits: float [B, K+1, h, w].
        pairs: matched cells of each picture.

    Returns:
        scalar.
    """
    height, width = logits.shape[-2:]
    cells = logits.flatten(2).transpose(1, 2)
    wanted = torch.full(cells.shape[:2], logits.shape[1] - 1, device=logits.device)
    for row, (matched, instances), target in zip(wanted, pairs, targets, strict=True):
        row[matched] = target.class_ids[instances]
    locations = query_locations(torch.arange(height * width, device=logits.device), (height, width))
    labelled = _labelled(targets, locations.expand(len(targets), -1, -1), height * width)
    return partial_cross_entropy(cells, wanted, labelled, torch.ones(wanted.shape, device=logits.device))


def partial_cross_entropy(logits: Tensor, wanted: Tensor, labelled: Tensor | None, weight: Tensor) -> Tensor:
    """Weighted mean cross-entropy in which unlabelled classes do not exist.

    Args:
        logits: float [..., K+1], the last is no-object.
        wanted: int64 [...], the class that is right; it always exists.
        labelled: bool [..., K], or None where all classes are labelled.
        weight: float [...].

    Returns:
        scalar; 0 where nothing counts.
    """
    logits = logits.float()
    if labelled is not None:
        exists = F.pad(labelled, (0, 1), value=True).scatter(-1, wanted[..., None], True)
        logits = logits.masked_fill(~exists, float("-inf"))
        weight = weight * (exists.sum(-1) > 1)
    loss = F.cross_entropy(logits.flatten(0, -2), wanted.flatten(), reduction="none")
    weight = weight.flatten()
    return (loss * weight).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)


def mask_losses(
    masks: Tensor,
    pairs: Sequence[Pairs],
    targets: Sequence[Target],
    num_instances: float,
    num_points: int,
    random: RandomPoints,
) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy and dice of the matched masks at uncertain points, summed and divided by `num_instances`.

    Args:
        masks: float [B, Q, h, w], mask logits.
        num_instances: instances in the whole batch, at least 1.
        num_points: points a mask.

    Returns:
        two scalars.
    """
    matched = [picture[queries] for picture, (queries, _) in zip(masks, pairs, strict=True)]
    logits = torch.cat(matched).float()
    if len(logits) == 0:
        nothing = masks.float().sum() * 0
        return nothing, nothing
    points = uncertain_points(logits.detach(), num_points, random)
    with torch.no_grad():
        parts = torch.split(points, [len(part) for part in matched])
        truth = torch.cat(
            [
                sample_at(target.masks[instances].float(), part)
                for target, (_, instances), part in zip(targets, pairs, parts, strict=True)
            ]
        )
    predicted = sample_at(logits, points)
    cross_entropy = F.binary_cross_entropy_with_logits(predicted, truth, reduction="none").mean(1)
    probability = predicted.sigmoid()
    dice = 1 - (2 * (probability * truth).sum(1) + 1) / (probability.sum(1) + truth.sum(1) + 1)
    return cross_entropy.sum() / num_instances, dice.sum() / num_instances


def _labelled(targets: Sequence[Target], locations: Tensor | None, count: int) -> Tensor | None:
    """bool [B, count, K] for places [B, count, 2], or None where every picture is fully labelled."""
    if all(target.labelled is None for target in targets):
        return None
    places = [None] * len(targets) if locations is None else list(locations)
    rows = [target.labelled_at(place) for target, place in zip(targets, places, strict=True)]
    classes = next(row.shape[-1] for row in rows if row is not None)
    device = targets[0].class_ids.device
    everything = torch.ones(count, classes, dtype=torch.bool, device=device)
    return torch.stack([everything if row is None else row.expand(count, -1) for row in rows])
