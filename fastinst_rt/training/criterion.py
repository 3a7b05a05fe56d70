"""The training objective: every prediction of the network against the labels (paper sections 3.3 and 3.4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fastinst_rt.models.fastinst import Prediction, Trace
from fastinst_rt.training.guidance import guided_attention_masks
from fastinst_rt.training.losses import class_loss, mask_losses, mask_qualities, proposal_loss
from fastinst_rt.training.matcher import Matcher, Pairs, query_locations
from fastinst_rt.training.targets import Target

Guide = Callable[[Trace, Tensor], Sequence[Prediction]]
"""Applies each layer to its own output again with attention masks bool [B, Q, h, w], True = blocked."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses, and of no-object inside the class loss."""

    classification: float = 2.0
    mask: float = 5.0
    dice: float = 5.0
    proposal: float = 20.0
    no_object: float = 0.1


@dataclass
class Losses:
    """The losses of one batch.

    The names are those of the published code: `loss_ce`, `loss_mask`, `loss_dice` are the last layer's; with a suffix
    `_i` they belong to output i of: the guided layers first, then the heads before the last. `loss_proposal` stands
    alone.

    Attributes:
        unweighted: scalars by name.
        weighted: the same times their weight.
        matchings: every matching in the order it was made: ("queries" or "proposals", pairs of each picture).
    """

    unweighted: dict[str, Tensor] = field(default_factory=dict)
    weighted: dict[str, Tensor] = field(default_factory=dict)
    matchings: list[tuple[str, list[Pairs]]] = field(default_factory=list)

    @property
    def total(self) -> Tensor:
        """Scalar: the sum of the weighted losses."""
        return torch.stack(list(self.weighted.values())).sum()

    def add(self, name: str, value: Tensor, weight: float) -> None:
        """Enter one loss."""
        self.unweighted[name] = value
        self.weighted[name] = value * weight


@dataclass(frozen=True)
class Criterion:
    """The objective of FastInst.

    Attributes:
        matcher: costs and the source of random points.
        weights: loss weights.
        num_points: points a matched mask (12,544 in the published recipes, scaled to the input for small ones).
        gt_mask_guidance: learn from the guided layers too (Table I, C).
        mask_quality: a matched query should be as sure of its class as its mask is good (ours; see `mask_qualities`).
        exclusive_classes: an instance is told apart from every other class, also from those that the labels of its
            picture do not speak about: a labelled car is no bus, whether or not buses are labelled (ours). Off: a class
            that is not labelled takes no part at all.
    """

    matcher: Matcher = field(default_factory=Matcher)
    weights: LossWeights = field(default_factory=LossWeights)
    num_points: int = 12544
    gt_mask_guidance: bool = True
    mask_quality: bool = False
    exclusive_classes: bool = False

    def __call__(self, guide: Guide, trace: Trace, targets: Sequence[Target]) -> Losses:
        """Losses of one batch.

        Args:
            guide: the network's `guided_predictions`; called when guidance is on.
            trace: what `net.trace` gave for the batch, in training mode.
            targets: B labels at the size of the padded input.
        """
        locations = self._locations(trace)
        losses = Losses()
        *earlier, last = trace.predictions
        outputs: list[tuple[Tensor, Tensor, list[Pairs] | None]] = [(*last, None)]
        if self.gt_mask_guidance:
            pairs = self._match(last, locations, targets, losses)
            blocked = guided_attention_masks(pairs, targets, last[0].shape[1], trace.scene.sizes[0])
            outputs += [(*prediction, pairs) for prediction in guide(trace, blocked)]
        outputs += [(*prediction, None) for prediction in earlier]

        if trace.proposal_logits is not None:  # learnable queries come without proposals
            cells = [
                self.matcher.proposals(logits, t) for logits, t in zip(trace.proposal_logits, targets, strict=True)
            ]
            losses.matchings.append(("proposals", cells))
            proposals = proposal_loss(trace.proposal_logits, cells, targets, exclusive=self.exclusive_classes)
            losses.add("loss_proposal", proposals, self.weights.proposal)

        num_instances = count_instances(targets)
        for i, (logits, masks, known) in enumerate(outputs):
            pairs = self._match((logits, masks), locations, targets, losses) if known is None else known
            suffix = f"_{i - 1}" if i else ""
            weights = self.weights
            # a guided layer is shown the true mask: how good its own comes out says nothing about the query
            judged = self.mask_quality and known is None
            qualities = mask_qualities(masks, pairs, targets) if judged else None
            classes = class_loss(
                logits, pairs, targets, locations, weights.no_object, qualities, exclusive=self.exclusive_classes
            )
            mask, dice = mask_losses(masks, pairs, targets, num_instances, self.num_points, self.matcher.random)
            losses.add(f"loss_ce{suffix}", classes, weights.classification)
            losses.add(f"loss_mask{suffix}", mask, weights.mask)
            losses.add(f"loss_dice{suffix}", dice, weights.dice)
        return losses

    def _locations(self, trace: Trace) -> Tensor | None:
        """float [B, Q, 2]: the queries' places on the proposal map; None for learnable queries, which have none."""
        if trace.proposal_logits is None or trace.proposal_indices is None:
            return None
        height, width = trace.proposal_logits.shape[-2:]
        return query_locations(trace.proposal_indices, (height, width))

    def _match(
        self, prediction: tuple[Tensor, Tensor], locations: Tensor | None, targets: Sequence[Target], losses: Losses
    ) -> list[Pairs]:
        places: Sequence[Tensor | None] = [None] * len(targets) if locations is None else list(locations)
        pairs = [self.matcher.queries(*one) for one in zip(*prediction, places, targets, strict=True)]
        losses.matchings.append(("queries", pairs))
        return pairs


def count_instances(targets: Sequence[Target]) -> float:
    """Instances a batch, averaged over the processes of a distributed run, at least 1."""
    count = float(sum(len(target) for target in targets))
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        total = torch.tensor([count], device=targets[0].class_ids.device)
        torch.distributed.all_reduce(total)
        count = float(total) / torch.distributed.get_world_size()
    return max(count, 1.0)
