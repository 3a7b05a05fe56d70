"""What a named model is: architecture, input sizes, classes and the figures published for it."""

from dataclasses import dataclass
from typing import Literal

from fastinst_rt.categories import Categories

Backbone = Literal["r50", "r101", "r50dcn", "lite0"]


@dataclass(frozen=True)
class ModelSpec:
    """One row of the zoo.

    Attributes:
        name: the name that `create_model` takes.
        short_side, max_side: the picture is scaled so that its short side is `short_side`, unless its long side would
            pass `max_side` [pixels].
        categories: the classes, in the order of the class logits.
        backbone, width, heads, feedforward, decoder_layers, num_queries, num_auxiliary_queries: architecture; width is
            the number of channels from the pixel decoder on.
        backbone_without: blocks of an EfficientNet-Lite backbone that are left out.
        pixel_feedforward: hidden width of the pixel path's feed-forward where it is not `feedforward`.
        light_pixel_decoder: depth-wise convolutions and batch norms in the PPM-FPN.
        dual_path: A of Table I (off: Mask2Former's sequential decoder on three levels).
        activation_guided_queries: B of Table I (off: learnable queries).
        learnable_positions_and_auxiliary: E of Table I (off: sine positions, no auxiliary queries).
        local_maximum_first: Table III.
        relative_masks: masks also depend on where a pixel lies relative to the query's place (ours, for small networks;
            needs `activation_guided_queries`).
        fine_masks: masks of the last head at stride 4, with the help of the backbone's stride-4 map (ours, for small
            inputs; needs an EfficientNet-Lite backbone).
        nms_iou: masks of one class with a higher IoU count as one object; None: all are kept, as published.
        pixel_mean, pixel_std: normalisation of the RGB values 0..255.
        checkpoint: file name of the authors' release, None where there is none.
        ap_val, ap_test: published mask AP on COCO val2017 and test-dev [%].
        params_m, gflops, fps_v100: published parameters [M], GFLOPs, frames per second on one V100 at batch 1.
            All published figures are None for a model or an ablation that has none.
    """

    name: str
    short_side: int
    max_side: int
    categories: Categories
    backbone: Backbone
    decoder_layers: int
    num_queries: int = 100
    num_auxiliary_queries: int = 8
    width: int = 256
    heads: int = 8
    feedforward: int = 1024
    backbone_without: tuple[str, ...] = ()
    pixel_feedforward: int | None = None
    light_pixel_decoder: bool = False
    dual_path: bool = True
    activation_guided_queries: bool = True
    learnable_positions_and_auxiliary: bool = True
    local_maximum_first: bool = True
    relative_masks: bool = False
    fine_masks: bool = False
    nms_iou: float | None = None
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    checkpoint: str | None = None
    ap_val: float | None = None
    ap_test: float | None = None
    params_m: float | None = None
    gflops: float | None = None
    fps_v100: float | None = None

    @property
    def num_classes(self) -> int:
        """K, without "no object"."""
        return len(self.categories)
