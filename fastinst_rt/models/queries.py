"""Where the queries come from: instance-activation-guided, local-maximum-first (paper section 3.2), or learnable."""

import contextlib
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastinst_rt.models.layers import AtLeastFloat32


class Queries(NamedTuple):
    """The object queries as they enter a decoder.

    Attributes:
        features: [B,Q,C].
        positions: [B,Q,C].
        proposal_logits: [B,K+1,H/16,W/16] float32 or wider, or None for learnable queries.
        proposal_indices: int64 [B,Q], the flat place y*w+x on E4 of each query, best first; None for learnable queries.
    """

    features: Tensor
    positions: Tensor
    proposal_logits: Tensor | None
    proposal_indices: Tensor | None


LEAST_PEAK = 1e-6
"""A place whose class probability is lower is no local maximum (the published code's number)."""


def proposal_ranks(probabilities: Tensor, *, local_maximum_first: bool = True) -> Tensor:
    """The rank score of each pixel as a proposal.

    p is the probability of the pixel's best class. A pixel whose p is not below that of its eight neighbours *in the
    plane of the same class*, where each pixel counts for its best class only and outside is zero, and not below
    `LEAST_PEAK`, is a local maximum. All local maxima come before all other pixels, both by p.

    The published code gives p + 1 to a local maximum and p to the others. Above 1 a float32 has steps of 1.2e-7, and
    the last places of a confident network have a p of 1e-5: their order was rounding, so a compiled engine could pick
    other queries than eager PyTorch and be refused for it. Here a local maximum gets p and the others p * 2**-20, which
    is exact and below `LEAST_PEAK`: the same order, with every digit of p.

    Args:
        probabilities: [B,K,h,w], softmax over K+1 classes without the no-object column.

    Returns:
        [B,h,w], in [0, 1]; with local maxima first, those are the pixels of at least `LEAST_PEAK`.
    """
    # amax and argmax, and not max: TensorRT has no converter for a max of which both results are used
    best, best_class = probabilities.amax(1, keepdim=True), probabilities.argmax(1, keepdim=True)
    if not local_maximum_first:
        return best.squeeze(1)
    classes = torch.arange(probabilities.shape[1], device=probabilities.device).view(1, -1, 1, 1)
    planes = torch.where(classes == best_class, best, 0.0)
    neighbourhood = F.max_pool2d(planes, 3, 1, 1)
    peak = (planes >= neighbourhood) & (planes >= LEAST_PEAK)
    return torch.where(peak, planes, planes * 2**-20).amax(1)


class ActivationGuidedQueries(AtLeastFloat32):
    """IA-guided queries: an auxiliary class head on E4 says where objects are; the features there become the queries.

    This part computes in float32 (or wider) whatever the precision of the rest and of autocast: in float16 close
    proposals would tie and change order, and `LEAST_PEAK` is no normal number there.

    Args:
        width: channels of E4.
        num_classes: K.
        num_queries: how many pixels are picked (all of them where E4 has fewer).
        local_maximum_first: off ranks by class probability alone (Table III).
    """

    def __init__(self, width: int, num_classes: int, num_queries: int, *, local_maximum_first: bool = True) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.local_maximum_first = local_maximum_first
        self.hidden = nn.Conv2d(width, width, 3, padding=1)
        self.classes = nn.Conv2d(width, num_classes + 1, 1)
        nn.init.kaiming_uniform_(self.hidden.weight, a=1)
        nn.init.zeros_(self.hidden.bias)  # type: ignore[arg-type]

    def forward(self, e4: Tensor, position: Tensor) -> Queries:
        """E4 [B,C,h,w] and its position embedding [1,C,h,w] -> queries, best proposal first."""
        device = e4.device.type
        guard = torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else contextlib.nullcontext()
        with guard:
            logits = self.classes(F.relu(self.hidden(e4.to(self.classes.weight.dtype))))
            probabilities = logits.detach().softmax(1)[:, :-1]
            ranks = proposal_ranks(probabilities, local_maximum_first=self.local_maximum_first).flatten(1)
            indices = ranks.topk(min(self.num_queries, ranks.shape[1]), dim=1).indices
        features = e4.flatten(2).transpose(1, 2)
        return Queries(
            features.gather(1, indices.unsqueeze(-1).expand(-1, -1, features.shape[-1])),
            F.embedding(indices, position[0].flatten(1).T),
            logits,
            indices,
        )


class LearnableQueries(nn.Module):
    """Queries that are parameters, the same for every picture: Mask2Former's, and FastInst's auxiliary queries."""

    def __init__(self, width: int, num_queries: int) -> None:
        super().__init__()
        self.features = nn.Parameter(torch.randn(num_queries, width))
        self.positions = nn.Parameter(torch.randn(num_queries, width))

    def forward(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Features and positions, both [B,Q,C], for a batch as large as that of `like` [B,...]."""
        batch = like.shape[0]
        return self.features.expand(batch, -1, -1), self.positions.expand(batch, -1, -1)
