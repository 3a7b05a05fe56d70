"""The dual-path Transformer decoder (paper section 3.3): queries and pixel features update each other."""

from dataclasses import dataclass

from torch import Tensor, nn

from fastinst_rt.models.attention import AttentionBlock, FeedForward, may_attend, may_attend_by_masks
from fastinst_rt.models.layers import MLP
from fastinst_rt.models.positions import Offsets, RelativeMasks


@dataclass(frozen=True)
class Scene:
    """What a decoder works on, besides its own state, which stays the same from layer to layer.

    Attributes:
        query_positions: [B,Q+auxiliary,C].
        auxiliary: number of auxiliary queries, the last of the query axis; they are never masked and never predicted
            from.
        pixel_positions: one tensor [1,N,C] a level.
        sizes: (h, w) a level, N = h*w.
        offsets: how far the pixels of level 0 lie from the place of each query; None where masks do not look at that.
        c2: [B,C2,2h,2w], the backbone's stride-4 map; None where masks are not refined by it.
    """

    query_positions: Tensor
    auxiliary: int
    pixel_positions: tuple[Tensor, ...]
    sizes: tuple[tuple[int, int], ...]
    offsets: Offsets | None = None
    c2: Tensor | None = None


@dataclass(frozen=True)
class State:
    """What a layer changes: queries [B,Q+auxiliary,C] and pixel features, [B,N,C] a level."""

    queries: Tensor
    pixels: tuple[Tensor, ...]


class PredictionHead(nn.Module):
    """Class logits and masks of the object queries at one depth.

    LayerNorm on the queries, then a class MLP, and a mask MLP whose output is multiplied with a linear map of the pixel
    features. The product is taken in the cheaper order: e . (W x + b) = (e W) . x + e . b, which spares the 256x256
    linear on every pixel (0.45 of 25 G multiply-adds a head for D1 at 576x768).

    Args:
        width: channels C.
        num_classes: K.
        linear_classes: a single linear class layer in place of the MLP.
        relative_masks: masks also depend on where a pixel lies relative to the query's place.
    """

    def __init__(
        self, width: int, num_classes: int, *, linear_classes: bool = False, relative_masks: bool = False
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.classes = MLP(width, num_classes + 1) if linear_classes else MLP(width, width, width, num_classes + 1)
        self.masks = MLP(width, width, width, width)
        self.pixels = nn.Linear(width, width)
        self.relative = RelativeMasks(width) if relative_masks else None

    def class_logits(self, queries: Tensor) -> Tensor:
        """[B,Q,C] -> [B,Q,K+1]."""
        out: Tensor = self.classes(self.norm(queries))
        return out

    def mask_logits(self, queries: Tensor, pixels: Tensor, offsets: Offsets | None = None) -> Tensor:
        """[B,Q,C], [B,N,C] -> [B,Q,N]."""
        normed = self.norm(queries)
        embedding = self.masks(normed)
        constant = (embedding @ self.pixels.bias).unsqueeze(-1)
        out: Tensor = (embedding @ self.pixels.weight) @ pixels.transpose(1, 2) + constant
        if self.relative is None or offsets is None:
            return out
        window: Tensor = self.relative(normed, offsets)
        return out + window.flatten(2)


class Decoder(nn.Module):
    """What both decoders share: layers that take a state to the next, and a head for each depth 0..D.

    A subclass says which level layer `i` looks at (`level`) and what the layer does (`layer`). Level 0 is the one that
    masks are predicted on (E3).
    """

    layers: nn.ModuleList
    heads: nn.ModuleList

    def head(self, depth: int) -> PredictionHead:
        """The head after `depth` layers."""
        head = self.heads[depth]
        assert isinstance(head, PredictionHead)
        return head

    def level(self, index: int) -> int:  # noqa: ARG002
        """Which level layer `index` attends to."""
        return 0

    def layer(
        self, index: int, state: State, scene: Scene, allowed: Tensor, *, weights: bool = False
    ) -> tuple[State, Tensor | None]:
        """Apply layer `index`; `allowed` is bool [B,Q+auxiliary,N]. Returns the new state and the attention weights."""
        raise NotImplementedError

    def mask_logits(self, depth: int, state: State, scene: Scene) -> Tensor:
        """Mask logits [B,Q,h,w] of the head at `depth`."""
        objects = state.queries[:, : state.queries.shape[1] - scene.auxiliary]
        logits = self.head(depth).mask_logits(objects, state.pixels[0], scene.offsets)
        return logits.view(*objects.shape[:2], *scene.sizes[0])

    def class_logits(self, depth: int, state: State, scene: Scene) -> Tensor:
        """Class logits [B,Q,K+1] of the head at `depth`."""
        return self.head(depth).class_logits(state.queries[:, : state.queries.shape[1] - scene.auxiliary])

    def allowed_by_masks(self, index: int, masks: Tensor, scene: Scene) -> Tensor:  # noqa: ARG002
        """Where layer `index` may attend, given the mask logits [B,Q,h,w] predicted before it."""
        return may_attend_by_masks(masks.detach().flatten(2), scene.auxiliary)

    def allowed_by_truth(self, index: int, blocked: Tensor, scene: Scene) -> Tensor:  # noqa: ARG002
        """Where layer `index` may attend, given bool [B,Q,h,w], True where blocked."""
        return may_attend(blocked.flatten(2), scene.auxiliary)


class DualPathLayer(nn.Module):
    """One dual-path update: pixel features from all queries first, then queries from the updated pixel features."""

    def __init__(self, width: int, heads: int, feedforward: int, pixel_feedforward: int) -> None:
        super().__init__()
        self.pixel_cross_attention = AttentionBlock(width, heads)
        self.pixel_feedforward = FeedForward(width, pixel_feedforward)
        self.query_cross_attention = AttentionBlock(width, heads)
        self.query_self_attention = AttentionBlock(width, heads)
        self.query_feedforward = FeedForward(width, feedforward)

    def forward(
        self,
        queries: Tensor,
        query_position: Tensor,
        pixels: Tensor,
        pixel_position: Tensor,
        allowed: Tensor,
        weights: bool,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        pixels, _ = self.pixel_cross_attention(pixels, pixel_position, queries, query_position)
        pixels = self.pixel_feedforward(pixels)
        queries, attention = self.query_cross_attention(
            queries, query_position, pixels, pixel_position, allowed, weights=weights
        )
        queries, _ = self.query_self_attention(queries, query_position, queries, query_position)
        return self.query_feedforward(queries), pixels, attention


class DualPathDecoder(Decoder):
    """D dual-path layers on E3 with a head of its own at each depth 0..D.

    Args:
        width, heads, feedforward: 256, 8, 1024 in the published models.
        num_classes: K.
        num_layers: D.
        pixel_feedforward: hidden width of the pixel path's feed-forward; None for `feedforward`.
        linear_first_classes: see `PredictionHead`; for the head before the first layer.
        relative_masks: see `PredictionHead`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        feedforward: int,
        num_classes: int,
        num_layers: int,
        *,
        pixel_feedforward: int | None = None,
        linear_first_classes: bool = False,
        relative_masks: bool = False,
    ) -> None:
        super().__init__()
        pixel_hidden = pixel_feedforward or feedforward
        self.layers = nn.ModuleList(DualPathLayer(width, heads, feedforward, pixel_hidden) for _ in range(num_layers))
        self.heads = nn.ModuleList(
            PredictionHead(
                width,
                num_classes,
                linear_classes=linear_first_classes and depth == 0,
                relative_masks=relative_masks,
            )
            for depth in range(num_layers + 1)
        )

    def layer(
        self, index: int, state: State, scene: Scene, allowed: Tensor, *, weights: bool = False
    ) -> tuple[State, Tensor | None]:
        queries, pixels, attention = self.layers[index](
            state.queries, scene.query_positions, state.pixels[0], scene.pixel_positions[0], allowed, weights
        )
        return State(queries, (pixels, *state.pixels[1:])), attention


def tokens(feature_map: Tensor) -> Tensor:
    """[B,C,h,w] -> [B,h*w,C].

    The axes are moved before they are merged: where maps lie channels last in memory, as in OpenVINO, nothing is copied
    (nano takes 1.5 % less time).
    """
    return feature_map.permute(0, 2, 3, 1).flatten(1, 2)
