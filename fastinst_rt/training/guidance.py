"""GT-mask-guided learning (section 3.4): each layer once more, its attention led by the matched ground truth."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fastinst_rt.training.matcher import Pairs
from fastinst_rt.training.targets import Target


def guided_attention_masks(
    pairs: Sequence[Pairs], targets: Sequence[Target], num_queries: int, size: tuple[int, int]
) -> Tensor:
    """Attention masks from the matched instances.

    Args:
        pairs: matched pairs of each picture.
        targets: B labels.
        num_queries: Q.
        size: (h, w) of the pixel features.

    Returns:
        bool [B, Q, h, w], True = blocked: everything outside the matched instance (nearest resize). Unmatched queries,
        and those whose instance vanishes at this size, attend everywhere.
    """
    device = targets[0].masks.device
    blocked = torch.zeros(len(targets), num_queries, *size, dtype=torch.bool, device=device)
    for picture, (queries, instances), target in zip(blocked, pairs, targets, strict=True):
        if len(queries):
            masks = F.interpolate(target.coverage[instances, None], size, mode="nearest")[:, 0] > 0.5
            seen = masks.flatten(1).any(1)
            picture[queries[seen]] = ~masks[seen]
    return blocked
