"""Which query learns which instance: Hungarian matching with the paper's location cost (section 3.3)."""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from fastinst_rt.training.points import RandomPoints, sample_shared, uniform_points
from fastinst_rt.training.targets import Target

Pairs = tuple[Tensor, Tensor]
"""Matched pairs of one picture: int64 [M] query (or cell) indices in rising order, int64 [M] instance indices."""


def query_locations(indices: Tensor, size: tuple[int, int]) -> Tensor:
    """Places of cells of a map: linspace(0, 1) inclusive along each side.

    Args:
        indices: int64 [...], flat y * w + x.
        size: (h, w) of the map.

    Returns:
        float32 [..., 2], (x, y) in 0..1.
    """
    height, width = size
    xs = torch.linspace(0, 1, width, device=indices.device)
    ys = torch.linspace(0, 1, height, device=indices.device)
    return torch.stack([xs[indices % width], ys[indices // width]], dim=-1)


@dataclass(frozen=True)
class Matcher:
    """Costs of the assignment.

    Attributes:
        class_cost, mask_cost, dice_cost: weights of the three costs.
        location_cost: weight of -1 where the query's place lies inside the instance; 0 switches it off (Table II).
        num_points: points a picture at which masks are compared.
        random: where the points come from.
    """

    class_cost: float = 2.0
    mask_cost: float = 5.0
    dice_cost: float = 5.0
    location_cost: float = 1000.0
    num_points: int = 12544
    random: RandomPoints = uniform_points

    @torch.no_grad()
    def queries(self, logits: Tensor, masks: Tensor, locations: Tensor | None, target: Target) -> Pairs:
        """Match the queries of one picture.

        Args:
            logits: float [Q, K+1].
            masks: float [Q, h, w], mask logits.
            locations: float [Q, 2], the queries' places, or None for queries that have none.
            target: N instances.

        Returns:
            min(Q, N) pairs.
        """
        points = self.random((1, self.num_points, 2), logits.device)[0]
        truth = target.coverage
        predicted_at = sample_shared(masks.float(), points)
        truth_at = sample_shared(truth, points)
        cost = self.mask_cost * pairwise_cross_entropy(predicted_at, truth_at)
        cost = cost + self.class_cost * -logits.float().softmax(-1)[:, target.class_ids]
        cost = cost + self.dice_cost * pairwise_dice(predicted_at, truth_at)
        if self.location_cost and locations is not None:
            inside = sample_shared(truth, locations) > 0
            cost = cost - self.location_cost * inside.T.float()
        return assign(cost)

    @torch.no_grad()
    def proposals(self, logits: Tensor, target: Target) -> Pairs:
        """Match the cells of the proposal map of one picture.

        Args:
            logits: float [K+1, h, w].
            target: N instances.

        Returns:
            min(h * w, N) pairs; cells are flat y * w + x.
        """
        cost = self.class_cost * -logits.float().flatten(1).softmax(0)[target.class_ids].T
        if self.location_cost and len(target):
            size = (int(logits.shape[-2]), int(logits.shape[-1]))
            covered = F.adaptive_avg_pool2d(target.coverage, size).flatten(1) > 0
            cost = cost - self.location_cost * covered.T.float()
        return assign(cost)


def pairwise_cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean binary cross-entropy of every pair: logits [Q, P], truth [N, P] in 0..1 -> [Q, N]."""
    positive, negative = F.softplus(-logits), F.softplus(logits)
    return (positive @ truth.T + negative @ (1 - truth).T) / logits.shape[1]


def pairwise_dice(logits: Tensor, truth: Tensor) -> Tensor:
    """1 - dice of every pair: logits [Q, P], truth [N, P] in 0..1 -> [Q, N]."""
    probability = logits.sigmoid()
    overlap = 2 * probability @ truth.T
    return 1 - (overlap + 1) / (probability.sum(1)[:, None] + truth.sum(1)[None] + 1)


def assign(cost: Tensor) -> Pairs:
    """The cheapest assignment of a cost matrix [Q, N]; a cost that is not finite counts as very dear."""
    finite = torch.nan_to_num(cost, nan=1e6, posinf=1e6, neginf=-1e6)
    rows, columns = linear_sum_assignment(finite.cpu().numpy())
    return torch.as_tensor(rows, device=cost.device), torch.as_tensor(columns, device=cost.device)
