"""Masks seen at points: losses and matching look at sampled points instead of whole masks (as in PointRend)."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

RandomPoints = Callable[[tuple[int, ...], torch.device], Tensor]
"""Draws float32 of a shape, uniform in [0, 1), on a device: the only randomness of matching and losses."""


def uniform_points(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Points from torch's own generator."""
    return torch.rand(shape, device=device)


def sample_at(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear values of maps at points (align_corners=False, zeros outside).

    Args:
        maps: float [N, H, W].
        points: float [N, P, 2], (x, y) in 0..1.

    Returns:
        float [N, P].
    """
    if len(maps) == 0:
        return maps.new_zeros(0, points.shape[1])
    sampled = F.grid_sample(maps[:, None], 2.0 * points[:, :, None] - 1.0, align_corners=False)
    return sampled[:, 0, :, 0]


def sample_shared(maps: Tensor, points: Tensor) -> Tensor:
    """Like `sample_at` with the same points for every map: maps [N, H, W], points [P, 2] -> [N, P]."""
    if len(maps) == 0:
        return maps.new_zeros(0, len(points))
    sampled = F.grid_sample(maps[None], 2.0 * points[None, :, None] - 1.0, align_corners=False)
    return sampled[0, :, :, 0]


@torch.no_grad()
def uncertain_points(
    logits: Tensor, count: int, random: RandomPoints, oversample: float = 3.0, importance: float = 0.75
) -> Tensor:
    """Points where a mask is least decided, with a share of plain random ones.

    `count x oversample` points are drawn, the `count x importance` with a logit nearest to zero are kept, and the rest
    is drawn anew.

    Args:
        logits: float [N, h, w].
        count: points a mask.

    Returns:
        float [N, count, 2], (x, y) in 0..1.
    """
    candidates = random((len(logits), int(count * oversample), 2), logits.device)
    kept = int(importance * count)
    nearest = torch.topk(-sample_at(logits, candidates).abs(), kept, dim=1).indices
    uncertain = torch.gather(candidates, 1, nearest[..., None].expand(-1, -1, 2))
    return torch.cat([uncertain, random((len(logits), count - kept, 2), logits.device)], dim=1)
