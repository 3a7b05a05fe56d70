"""Multi-head attention and the post-norm Transformer blocks that the decoders are made of."""

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head attention whose three projections are one packed matrix, as in `nn.MultiheadAttention`.

    Runs through `scaled_dot_product_attention`; only a caller that asks for the weights gets the explicit softmax.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.xavier_uniform_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None, *, weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """[B,Q,C] attends to [B,N,C].

        Args:
            allowed: bool [B,Q,N], True where a query may look (each row needs at least one True); None for everywhere.
            weights: also return the attention weights.

        Returns:
            output [B,Q,C]; attention weights [B,heads,Q,N], or None.
        """
        projections = zip(self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3), strict=True)
        q, k, v = (
            F.linear(x, weight, bias).view(*x.shape[:2], self.heads, -1).transpose(1, 2)
            for x, (weight, bias) in zip((query, key, value), projections, strict=True)
        )
        mask = None if allowed is None else allowed.unsqueeze(1)
        probabilities = None
        if weights:
            similarity = q @ k.transpose(-2, -1) / sqrt(q.shape[-1])
            if mask is not None:
                similarity = similarity.masked_fill(~mask, float("-inf"))
            probabilities = similarity.softmax(-1)
            attended = probabilities @ v
        else:
            # The usual scale, but said: without it TensorRT's converter takes no constant queries (Mask2Former's first
            # layer) and computes the scale in float32 inside the graph.
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1 / sqrt(q.shape[-1]))
        return self.out_proj(attended.transpose(1, 2).flatten(2)), probabilities


class AttentionBlock(nn.Module):
    """norm(x + attention): positions are added to queries and keys, never to values; LayerNorm eps 1e-5, no dropout."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm = nn.LayerNorm(width)

    def forward(
        self,
        x: Tensor,
        position: Tensor,
        memory: Tensor,
        memory_position: Tensor,
        allowed: Tensor | None = None,
        *,
        weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """x [B,Q,C] takes in memory [B,N,C]; the positions have those shapes; see `Attention` for the rest."""
        attended, probabilities = self.attention(
            x + position, memory + memory_position, memory, allowed, weights=weights
        )
        return self.norm(x + attended), probabilities


class FeedForward(nn.Module):
    """norm(x + linear(relu(linear(x)))) on the last axis."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.norm = nn.LayerNorm(width)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x + self.linear2(F.relu(self.linear1(x))))
        return out


def may_attend(blocked: Tensor, free: int = 0) -> Tensor:
    """What masked attention may look at.

    Args:
        blocked: bool [B,Q,N]. A query with every place blocked may attend everywhere.
        free: number of further queries at the end that are never blocked.

    Returns:
        bool [B,Q+free,N], True where a query may attend.
    """
    return _with_free(~blocked | blocked.all(-1, keepdim=True), free)


def may_attend_by_masks(masks: Tensor, free: int = 0) -> Tensor:
    """`may_attend` for mask logits [B,Q,N]: a place is blocked where the logit is below 0."""
    # amax, and not all(): TensorRT has no converter for that
    return _with_free((masks >= 0) | (masks.amax(-1, keepdim=True) < 0), free)


def _with_free(allowed: Tensor, free: int) -> Tensor:
    if not free:
        return allowed
    unblocked = torch.ones_like(allowed[:, :1]).expand(-1, free, -1)
    return torch.cat((allowed, unblocked), 1)
