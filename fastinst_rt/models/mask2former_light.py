"""The decoder of Mask2Former-light, the paper's baseline: Mask2Former (Cheng et al., 2022) behind FastInst's PPM-FPN.

Mask2Former-light is `fastinst.FastInst` with this decoder, learnable queries and sine positions (see `zoo.get_spec`).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastinst_rt.models.attention import AttentionBlock, FeedForward, may_attend, may_attend_by_masks
from fastinst_rt.models.decoder import Decoder, PredictionHead, Scene, State
from fastinst_rt.models.pixel_decoder import resize

LEVELS = 3


class SequentialLayer(nn.Module):
    """Masked cross-attention to the pixels, self-attention, feed-forward; only the queries change."""

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.cross_attention = AttentionBlock(width, heads)
        self.self_attention = AttentionBlock(width, heads)
        self.feedforward = FeedForward(width, feedforward)

    def forward(
        self,
        queries: Tensor,
        query_position: Tensor,
        pixels: Tensor,
        pixel_position: Tensor,
        allowed: Tensor,
        weights: bool,
    ) -> tuple[Tensor, Tensor | None]:
        queries, attention = self.cross_attention(
            queries, query_position, pixels, pixel_position, allowed, weights=weights
        )
        queries, _ = self.self_attention(queries, query_position, queries, query_position)
        return self.feedforward(queries), attention


class SequentialDecoder(Decoder):
    """Nine layers that attend to E5, E4, E3 in turn; every depth is predicted with the same head.

    Levels are ordered E3, E4, E5 in `State.pixels`. Each level has an embedding that is added to its pixel features;
    mask features are made from E3 as the pixel decoder gave it. The class head is one linear layer, as in Mask2Former.

    Args:
        width, heads, feedforward: 256, 8, 2048.
        num_classes: K.
        num_layers: 9.
    """

    def __init__(self, width: int, heads: int, feedforward: int, num_classes: int, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(SequentialLayer(width, heads, feedforward) for _ in range(num_layers))
        self.heads = nn.ModuleList([PredictionHead(width, num_classes, linear_classes=True)])
        self.level_embedding = nn.Parameter(torch.randn(LEVELS, width))

    def head(self, depth: int) -> PredictionHead:  # noqa: ARG002
        return super().head(0)

    def level(self, index: int) -> int:
        return LEVELS - 1 - index % LEVELS

    def layer(
        self, index: int, state: State, scene: Scene, allowed: Tensor, *, weights: bool = False
    ) -> tuple[State, Tensor | None]:
        level = self.level(index)
        pixels = state.pixels[level] + self.level_embedding[level]
        queries, attention = self.layers[index](
            state.queries, scene.query_positions, pixels, scene.pixel_positions[level], allowed, weights
        )
        return State(queries, state.pixels), attention

    def allowed_by_masks(self, index: int, masks: Tensor, scene: Scene) -> Tensor:
        masks = resize(masks.detach(), scene.sizes[self.level(index)])
        return may_attend_by_masks(masks.flatten(2), scene.auxiliary)

    def allowed_by_truth(self, index: int, blocked: Tensor, scene: Scene) -> Tensor:
        size = scene.sizes[self.level(index)]
        blocked = F.interpolate(blocked.to(torch.uint8), size=size, mode="nearest").bool()
        return may_attend(blocked.flatten(2), scene.auxiliary)
