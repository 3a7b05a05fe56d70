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
    qualities: Sequence[Tensor] | None = None,
    *,
    exclusive: bool = False,
) -> Tensor:
    """Cross-entropy of the queries' classes; a query without an instance should say no-object.

    Classes that are not labelled where a query sits are left out of its softmax, except the class it is matched to. A
    query that sits where nothing is labelled and has no instance does not count at all.

    Args:
        logits: float [B, Q, K+1].
        locations: float [B, Q, 2], the queries' places, or None for queries that have none.
        no_object_weight: weight of queries without an instance in the weighted mean.
        qualities: float [M] in 0..1 of each picture, how sure of its class each matched query should be (the rest is
            no-object's); None for wholly sure.
        exclusive: a query with an instance is told apart from unlabelled classes, too.

    Returns:
        scalar.
    """
    no_object = logits.shape[-1] - 1
    wanted = torch.full(logits.shape[:2], no_object, device=logits.device)
    for row, (queries, instances), target in zip(wanted, pairs, targets, strict=True):
        row[queries] = target.class_ids[instances]
    sure = None
    if qualities is not None:
        sure = torch.ones(wanted.shape, device=logits.device)
        for row, (queries, _), quality in zip(sure, pairs, qualities, strict=True):
            row[queries] = quality
    weight = torch.where(wanted == no_object, no_object_weight, 1.0)
    labelled = _labelled(targets, locations, logits.shape[1], wanted != no_object if exclusive else None)
    return partial_cross_entropy(logits, wanted, labelled, weight, sure)


def proposal_loss(
    logits: Tensor, pairs: Sequence[Pairs], targets: Sequence[Target], *, exclusive: bool = False
) -> Tensor:
    """Cross-entropy over all cells of the proposal map, every cell with the same weight.

    Partial labels as in `class_loss`.

    Args:
        logits: float [B, K+1, h, w].
        pairs: matched cells of each picture.
        exclusive: as in `class_loss`.

    Returns:
        scalar.
    """
    height, width = logits.shape[-2:]
    cells = logits.flatten(2).transpose(1, 2)
    no_object = logits.shape[1] - 1
    wanted = torch.full(cells.shape[:2], no_object, device=logits.device)
    for row, (matched, instances), target in zip(wanted, pairs, targets, strict=True):
        row[matched] = target.class_ids[instances]
    locations = query_locations(torch.arange(height * width, device=logits.device), (height, width))
    known = wanted != no_object if exclusive else None
    labelled = _labelled(targets, locations.expand(len(targets), -1, -1), height * width, known)
    return partial_cross_entropy(cells, wanted, labelled, torch.ones(wanted.shape, device=logits.device))


def partial_cross_entropy(
    logits: Tensor, wanted: Tensor, labelled: Tensor | None, weight: Tensor, sure: Tensor | None = None
) -> Tensor:
    """Weighted mean cross-entropy in which unlabelled classes do not exist.

    Args:
        logits: float [..., K+1], the last is no-object.
        wanted: int64 [...], the class that is right; it always exists.
        labelled: bool [..., K], or None where all classes are labelled.
        weight: float [...].
        sure: float [...] in 0..1, the share of the target that is the class's, the rest being no-object's; None for 1.

    Returns:
        scalar; 0 where nothing counts.
    """
    logits = logits.float()
    if labelled is not None:
        exists = F.pad(labelled, (0, 1), value=True).scatter(-1, wanted[..., None], True)
        logits = logits.masked_fill(~exists, float("-inf"))
        weight = weight * (exists.sum(-1) > 1)
    flat = logits.flatten(0, -2)
    loss = F.cross_entropy(flat, wanted.flatten(), reduction="none")
    if sure is not None:
        nothing = torch.full_like(wanted, logits.shape[-1] - 1).flatten()
        loss = torch.lerp(F.cross_entropy(flat, nothing, reduction="none"), loss, sure.flatten())
    weight = weight.flatten()
    return (loss * weight).sum() / weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)


@torch.no_grad()
def mask_qualities(masks: Tensor, pairs: Sequence[Pairs], targets: Sequence[Target]) -> list[Tensor]:
    """How good the mask of each matched query is, as average precision counts it.

    0.2 for having found an instance at all, the rest in proportion to the thresholds of COCO (IoU 0.50 to 0.95) that
    the mask passes; without the 0.2 a rare class, whose masks are poor at first, would never be named.

    Args:
        masks: float [B, Q, h, w], mask logits of any stride; compared at stride 4.

    Returns:
        float [M] in 0.2..1 of each picture.
    """
    found = []
    for picture, (queries, instances), target in zip(masks, pairs, targets, strict=True):
        if not len(queries):  # pooling and resizing take no empty tensors
            found.append(picture.new_zeros(0))
            continue
        truth = F.avg_pool2d(target.coverage[instances], 4) > 0.5
        logits = picture[queries][None].float()
        mask = F.interpolate(logits, truth.shape[-2:], mode="bilinear", align_corners=False)[0] > 0
        iou = (mask & truth).sum((1, 2)) / (mask | truth).sum((1, 2)).clamp(min=1)
        found.append(0.2 + 0.8 * ((iou - 0.45) / 0.5).clamp(0, 1))
    return found


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
                sample_at(target.coverage[instances], part)
                for target, (_, instances), part in zip(targets, pairs, parts, strict=True)
            ]
        )
    predicted = sample_at(logits, points)
    cross_entropy = F.binary_cross_entropy_with_logits(predicted, truth, reduction="none").mean(1)
    probability = predicted.sigmoid()
    dice = 1 - (2 * (probability * truth).sum(1) + 1) / (probability.sum(1) + truth.sum(1) + 1)
    return cross_entropy.sum() / num_instances, dice.sum() / num_instances


def _labelled(targets: Sequence[Target], locations: Tensor | None, count: int, known: Tensor | None) -> Tensor | None:
    """bool [B, count, K] for places [B, count, 2], or None where every picture is fully labelled.

    Args:
        known: bool [B, count], places about which all is known whatever the labels speak about; None for no such ones.
    """
    if all(target.labelled is None for target in targets):
        return None
    places = [None] * len(targets) if locations is None else list(locations)
    rows = [target.labelled_at(place) for target, place in zip(targets, places, strict=True)]
    classes = next(row.shape[-1] for row in rows if row is not None)
    device = targets[0].class_ids.device
    everything = torch.ones(count, classes, dtype=torch.bool, device=device)
    labelled = torch.stack([everything if row is None else row.expand(count, -1) for row in rows])
    return labelled if known is None else labelled | known.unsqueeze(-1)
