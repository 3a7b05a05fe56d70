"""The assembled network, for FastInst and Mask2Former-light: backbone, pixel decoder, queries, decoder, heads."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fastinst_rt.models.decoder import Decoder, DualPathDecoder, Scene, State, tokens
from fastinst_rt.models.efficientnet_lite import EfficientNetLite
from fastinst_rt.models.fine_masks import FineMasks
from fastinst_rt.models.layers import Normalization
from fastinst_rt.models.mask2former_light import SequentialDecoder
from fastinst_rt.models.pixel_decoder import PPMFPN, LightPPMFPN
from fastinst_rt.models.positions import LearnablePositions, SinePositions, offsets_from
from fastinst_rt.models.queries import ActivationGuidedQueries, LearnableQueries, Queries
from fastinst_rt.models.resnet import ResNet
from fastinst_rt.models.resnet_d import ResNetDeformable
from fastinst_rt.models.spec import ModelSpec

Prediction = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Trace:
    """One forward pass with everything that training and explanation need.

    Attributes:
        predictions: (class logits [B,Q,K+1], mask logits [B,Q,H/8,W/8]) of heads 0..D; head 0 is before the first
            layer. With fine masks the last one's have stride 4.
        proposal_logits: [B,K+1,H/16,W/16], float32 or wider; None for learnable queries.
        proposal_indices: int64 [B,Q], flat place y*w+x on the stride-16 map of each query; None for learnable queries.
        query_features: [B,Q+auxiliary,C] as they enter the decoder, auxiliary queries last.
        query_positions: as `query_features`.
        states: what enters layer 0, then what leaves each layer (D+1 entries): feeds a layer again.
        scene: positions and sizes, the same for all layers.
        head_attention: cross-attention weights of each layer, float [B,heads,Q+auxiliary,h,w]: for each head and query
            a distribution over the pixels of the level that the layer looks at; empty unless asked for.
    """

    predictions: tuple[Prediction, ...]
    proposal_logits: Tensor | None
    proposal_indices: Tensor | None
    query_features: Tensor
    query_positions: Tensor
    states: tuple[State, ...] = field(repr=False)
    scene: Scene = field(repr=False)
    head_attention: tuple[Tensor, ...] = field(default=(), repr=False)

    @property
    def attention(self) -> tuple[Tensor, ...]:
        """[B,Q+auxiliary,h,w] of each layer: `head_attention`, mean over the heads."""
        return tuple(weights.mean(1) for weights in self.head_attention)


class FastInst(nn.Module):
    """FastInst (He et al., CVPR 2023), or one of the networks of Table I between it and Mask2Former-light.

    `net(image)` takes float32 [B,3,H,W], RGB, 0..255, H and W multiples of 32, and returns class logits [B,Q,K+1] (the
    last column is "no object") and mask logits [B,Q,H/8,W/8] (H/4, W/4 with fine masks).

    Args:
        spec: what to build; see `zoo.get_spec`.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        width = spec.width
        self.normalize = Normalization(spec.pixel_mean, spec.pixel_std)
        self.backbone = _backbone(spec)
        pixel_decoder = LightPPMFPN if spec.light_pixel_decoder else PPMFPN
        self.pixel_decoder = pixel_decoder(self.backbone.out_channels, width)
        side = round(spec.num_queries**0.5)
        learnable = spec.learnable_positions_and_auxiliary
        self.positions = LearnablePositions(width, side) if learnable else SinePositions(width)
        self.queries = (
            ActivationGuidedQueries(
                width, spec.num_classes, spec.num_queries, local_maximum_first=spec.local_maximum_first
            )
            if spec.activation_guided_queries
            else LearnableQueries(width, spec.num_queries)
        )
        self.auxiliary = LearnableQueries(width, spec.num_auxiliary_queries) if spec.num_auxiliary_queries else None
        self.decoder = _decoder(spec)
        self.fine = None
        if spec.fine_masks:
            assert isinstance(self.backbone, EfficientNetLite)
            self.fine = FineMasks(width, self.backbone.detail_channels)

    def forward(self, image: Tensor) -> Prediction:
        return self.forward_normalized(self.normalize(image))

    def forward_normalized(self, x: Tensor) -> Prediction:
        """`forward` for a picture already normalised (and zero-padded after that, as the published model does)."""
        decoder = self.decoder
        _, state, scene = self._prepare(x)
        masks = decoder.mask_logits(0, state, scene)
        for index in range(len(decoder.layers)):
            allowed = decoder.allowed_by_masks(index, masks, scene)
            state, _ = decoder.layer(index, state, scene, allowed)
            masks = decoder.mask_logits(index + 1, state, scene)
        # of the class heads only the last one counts
        return decoder.class_logits(len(decoder.layers), state, scene), self._refine(masks, state, scene)

    def trace(self, image: Tensor | None = None, *, normalized: Tensor | None = None, attention: bool = False) -> Trace:
        """The forward pass with all heads and all that is between.

        Args:
            image: as for `forward`; or
            normalized: as for `forward_normalized`.
            attention: also keep the cross-attention weights (B x heads x Q x pixels floats a layer).
        """
        if normalized is None:
            if image is None:
                raise TypeError("trace needs an image or a normalized tensor")
            normalized = self.normalize(image)
        decoder = self.decoder
        queries, state, scene = self._prepare(normalized)
        states, predictions, attentions = [state], [self._predict(0, state, scene)], []
        for index in range(len(decoder.layers)):
            allowed = decoder.allowed_by_masks(index, predictions[-1][1], scene)
            state, weights = decoder.layer(index, state, scene, allowed, weights=attention)
            states.append(state)
            predictions.append(self._predict(index + 1, state, scene))
            if weights is not None:
                attentions.append(weights.view(*weights.shape[:3], *scene.sizes[decoder.level(index)]))
        logits, masks = predictions[-1]
        predictions[-1] = logits, self._refine(masks, state, scene)
        return Trace(
            predictions=tuple(predictions),
            proposal_logits=queries.proposal_logits,
            proposal_indices=queries.proposal_indices,
            query_features=states[0].queries,
            query_positions=scene.query_positions,
            states=tuple(states),
            scene=scene,
            head_attention=tuple(attentions),
        )

    def guided_predictions(self, trace: Trace, attention_masks: Tensor) -> tuple[Prediction, ...]:
        """Ground-truth-mask-guided learning (paper section 3.4): each layer once more, on its own output.

        Args:
            trace: of the same step.
            attention_masks: bool [B,Q,H/8,W/8], True = blocked; a query with every place blocked attends everywhere.

        Returns:
            (class logits, mask logits) for layers 1..D, predicted with the head after that layer, masks at stride 8.
        """
        predictions = []
        for index in range(len(self.decoder.layers)):
            allowed = self.decoder.allowed_by_truth(index, attention_masks, trace.scene)
            state, _ = self.decoder.layer(index, trace.states[index + 1], trace.scene, allowed)
            predictions.append(self._predict(index + 1, state, trace.scene))
        return tuple(predictions)

    def _predict(self, depth: int, state: State, scene: Scene) -> Prediction:
        return self.decoder.class_logits(depth, state, scene), self.decoder.mask_logits(depth, state, scene)

    def _refine(self, masks: Tensor, state: State, scene: Scene) -> Tensor:
        """Mask logits after the last layer, finer where the network can."""
        if self.fine is None or scene.c2 is None:
            return masks
        pixels = state.pixels[0].transpose(1, 2)
        pixels = pixels.reshape(*pixels.shape[:2], *scene.sizes[0])
        refined: Tensor = self.fine(masks, state.queries[:, : masks.shape[1]], pixels, scene.c2)
        return refined

    def _prepare(self, x: Tensor) -> tuple[Queries, State, Scene]:
        x = x.to(self._dtype)
        if self.fine is None:
            c2, (c3, c4, c5) = None, self.backbone(x)
        else:
            assert isinstance(self.backbone, EfficientNetLite)
            c2, c3, c4, c5 = self.backbone.maps(x)
        e3, e4, e5 = self.pixel_decoder(c3, c4, c5)
        levels = (e3,) if isinstance(self.decoder, DualPathDecoder) else (e3, e4, e5)
        if isinstance(self.queries, ActivationGuidedQueries):
            queries = self.queries(e4, self.positions(e4))
        else:
            features, positions = self.queries(e4)
            queries = Queries(features, positions, None, None)
        features, positions, auxiliary = queries.features, queries.positions, 0
        if self.auxiliary is not None:
            more_features, more_positions = self.auxiliary(e4)
            auxiliary = more_features.shape[1]
            features = torch.cat((features, more_features), 1)
            positions = torch.cat((positions, more_positions), 1)
        sizes = tuple((level.shape[-2], level.shape[-1]) for level in levels)
        offsets = None
        if self.spec.relative_masks and queries.proposal_indices is not None:
            offsets = offsets_from(queries.proposal_indices, (e4.shape[-2], e4.shape[-1]), sizes[0], e3.dtype)
        scene = Scene(
            query_positions=positions,
            auxiliary=auxiliary,
            pixel_positions=tuple(tokens(self.positions(level)) for level in levels),
            sizes=sizes,
            offsets=offsets,
            c2=c2,
        )
        return queries, State(features, tuple(tokens(level) for level in levels)), scene

    @property
    def _dtype(self) -> torch.dtype:
        return self.decoder.head(0).pixels.weight.dtype


def _backbone(spec: ModelSpec) -> ResNet | EfficientNetLite:
    if spec.backbone == "lite0":
        return EfficientNetLite(0, spec.backbone_without)
    if spec.backbone == "r50dcn":
        return ResNetDeformable(50)
    return ResNet({"r50": 50, "r101": 101}[spec.backbone])


def _decoder(spec: ModelSpec) -> Decoder:
    if not spec.dual_path:
        return SequentialDecoder(spec.width, spec.heads, spec.feedforward, spec.num_classes, spec.decoder_layers)
    return DualPathDecoder(
        spec.width,
        spec.heads,
        spec.feedforward,
        spec.num_classes,
        spec.decoder_layers,
        pixel_feedforward=spec.pixel_feedforward,
        linear_first_classes=not spec.activation_guided_queries,
        relative_masks=spec.relative_masks and spec.activation_guided_queries,
    )
