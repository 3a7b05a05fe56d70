"""The table of named models, and the switches that turn one into the networks of the paper's ablations.

`fastinst-nano` is ours: FastInst cut down to what two CPU cores do in real time. It was chosen, with one layer, by its
cost in OpenVINO (FP32, batch norms folded, one thread, CPU time, all variants interleaved in one process on an AVX-512
machine, 320x416 uint8 in), relative to EfficientNet-Lite0 with the published PPM-FPN and one layer at width 128, 50
queries and feed-forward width 1024, which takes 1:

| network                                                          | cost |
| ---------------------------------------------------------------- | ---- |
| the backbone alone                                               | 0.44 |
| the published parts, pixel feed-forward 256                      | 0.79 |
| + batch norms in place of group norms, 256 + feed-forward 512    | 0.80 |
| + output convolutions depth-wise 5x5 and 1x1 (`LightPPMFPN`)     | 0.70 |
| the same with group norms                                        | 0.72 |
| the same at width 112                                            | 0.67 |
| the same at width 96, feed-forward 384, on pixels 192: **taken** | 0.62 |
| width 128, 100 queries                                           | 0.74 |

Two parts joined later, when pictures showed what was missing: `RelativeMasks` (one mask over several people) and
`FineMasks` (coarse outlines of small people), which costs 9 % of the whole (22.4 against 20.7 ms at 320x416 on two
threads, medians of 100, interleaved). A second layer was there for a while and left again: on two AVX2 cores it took a
sixth of the time (41.6 against 34.7 ms, interleaved), and cutting it off cost 0.003 of a person AP of 0.152, on the
very weights that had been trained with it.

Two of the backbone's sixteen blocks are left out. EfficientNets are trained to do without any one that only adds to
its input: with no training after it, leaving one out cost 0.003 to 0.018 of a person AP of 0.152, and these two 0.008,
which distillation from the whole network won back without labels. They took a tenth of the time (28.4 against 32.6 ms
beside 31.9 ms of a YOLO11n-seg; medians of 110, interleaved, two AVX2 cores, 320x416).
"""

from dataclasses import replace
from typing import Any

import torch

from fastinst_rt.categories import COCO, Categories
from fastinst_rt.errors import UsageError
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.spec import ModelSpec

_RELEASED = (
    ModelSpec(
        "fastinst-d1-r50", 576, 777, COCO, "r50", 1, checkpoint="fastinst_R50_ppm-fpn_x1_576_34.9.pth",
        ap_val=34.9, ap_test=35.6, params_m=30, gflops=49.6, fps_v100=53.8,
    ),
    ModelSpec(
        "fastinst-d3-r50", 640, 853, COCO, "r50", 3, checkpoint="fastinst_R50_ppm-fpn_x3_640_37.9.pth",
        ap_val=37.9, ap_test=38.6, params_m=34, gflops=75.5, fps_v100=35.5,
    ),
    ModelSpec(
        "fastinst-d3-r101", 640, 853, COCO, "r101", 3, checkpoint="fastinst_R101_ppm-fpn_x3_640_38.9.pth",
        ap_val=38.9, ap_test=39.9, params_m=53, gflops=112.9, fps_v100=28.0,
    ),
    ModelSpec(
        "fastinst-d1-r50dcn", 576, 777, COCO, "r50dcn", 1, checkpoint="fastinst_R50-vd-dcn_ppm-fpn_x1_576_37.4.pth",
        ap_val=37.4, ap_test=38.0, params_m=30, fps_v100=47.8,
    ),
    ModelSpec(
        "fastinst-d3-r50dcn", 640, 853, COCO, "r50dcn", 3, checkpoint="fastinst_R50-vd-dcn_ppm-fpn_x3_640_40.1.pth",
        ap_val=40.1, ap_test=40.5, params_m=35, fps_v100=32.5,
    ),
)  # fmt: skip

_MASK2FORMER_LIGHT = ModelSpec(
    "mask2former-light-r50", 640, 853, COCO, "r50", 9, feedforward=2048, num_auxiliary_queries=0, dual_path=False,
    activation_guided_queries=False, learnable_positions_and_auxiliary=False,
    ap_val=37.2, params_m=40.9, fps_v100=25.3,
)  # fmt: skip

# the bundled weights are of exactly these numbers; other numbers need training anew
_NANO = ModelSpec(
    "fastinst-nano", 320, 448, COCO, "lite0", 1, num_queries=50, width=96, heads=4, feedforward=384,
    backbone_without=("stages.3.2", "stages.4.1"), pixel_feedforward=192, light_pixel_decoder=True,
    relative_masks=True, fine_masks=True, nms_iou=0.7,
    pixel_mean=(127.0, 127.0, 127.0), pixel_std=(128.0, 128.0, 128.0),
)  # fmt: skip

_ZOO = {spec.name: spec for spec in (*_RELEASED, _MASK2FORMER_LIGHT, _NANO)}


def list_models() -> list[str]:
    """The names that `create_model` takes, in the order of the zoo."""
    return list(_ZOO)


def get_spec(name: str) -> ModelSpec:
    """The row of the zoo.

    Raises:
        UsageError: no model has that name.
    """
    if name not in _ZOO:
        raise UsageError(f"There is no model named {name!r}.", f"Choose one of: {', '.join(_ZOO)}.")
    return _ZOO[name]


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    num_queries: int | None = None,
    num_auxiliary_queries: int | None = None,
    decoder_layers: int | None = None,
    dual_path: bool | None = None,
    activation_guided_queries: bool | None = None,
    learnable_positions_and_auxiliary: bool | None = None,
    local_maximum_first: bool | None = None,
) -> FastInst:
    """Build a named model with random weights, in eval mode.

    The keyword arguments are the switches of the paper's ablations; one left out stays as the named model has it. Table
    I goes from `mask2former-light-r50` to FastInst-D3 with A = `dual_path`, B = `activation_guided_queries`, E =
    `learnable_positions_and_auxiliary` (C, mask-guided learning, changes the training and not the network):

    | on       | -    | B    | A    | A B  | A B E |
    | -------- | ---- | ---- | ---- | ---- | ----- |
    | M params | 40.9 | 41.4 | 33.5 | 34.1 | 34.2  |

    The sources leave two things open; the parameter counts of the table decide them:

    - Mask2Former-light makes its mask features with a 1x1 convolution (a 3x3 one would give 41.4 M without B).
    - "A" stands for three dual-path layers "including a small head change": each depth gets heads of its own, and the
      class layer becomes an MLP, as in the published FastInst. With learnable queries (A without B) the head before the
      first layer keeps Mask2Former's single linear class layer. Its input is then the same for every picture, so an MLP
      has nothing to tell apart there, and with one the network would have 33.6 M parameters.

    Args:
        name: one of `list_models()`.
        num_classes: K; a number other than the model's own gives unnamed classes.
        num_queries: IA-guided (or learnable) queries.
        num_auxiliary_queries: auxiliary queries; they need `learnable_positions_and_auxiliary`.
        decoder_layers: D. Switching `dual_path` without it takes 3 (on) or 9 (off).
        dual_path: A. The feed-forward width goes with it: 1024 (on) or 2048 (off).
        activation_guided_queries: B.
        learnable_positions_and_auxiliary: E; on gives 8 auxiliary queries unless told otherwise, off gives none.
        local_maximum_first: Table III.

    Raises:
        UsageError: unknown name, or a number that no network can have.
    """
    spec = get_spec(name)
    changed = spec
    if dual_path is not None and dual_path != spec.dual_path:
        changed = replace(
            changed, dual_path=dual_path, decoder_layers=3 if dual_path else 9, feedforward=1024 if dual_path else 2048
        )
    learnable = learnable_positions_and_auxiliary
    if learnable is not None and learnable != spec.learnable_positions_and_auxiliary:
        changed = replace(
            changed, learnable_positions_and_auxiliary=learnable, num_auxiliary_queries=8 if learnable else 0
        )
    if num_classes is not None and num_classes != spec.num_classes:
        changed = replace(changed, categories=Categories.numbered(num_classes))
    numbers = {
        "num_queries": num_queries,
        "num_auxiliary_queries": num_auxiliary_queries,
        "decoder_layers": decoder_layers,
        "activation_guided_queries": activation_guided_queries,
        "local_maximum_first": local_maximum_first,
    }
    given: dict[str, Any] = {key: value for key, value in numbers.items() if value is not None}
    changed = replace(changed, **given)
    if changed != spec:
        changed = replace(
            changed, checkpoint=None, ap_val=None, ap_test=None, params_m=None, gflops=None, fps_v100=None
        )
    _check(changed)
    return FastInst(changed).eval()


def _check(spec: ModelSpec) -> None:
    for key, least in (("num_classes", 1), ("num_queries", 1), ("num_auxiliary_queries", 0), ("decoder_layers", 1)):
        value = getattr(spec, key)
        if value < least:
            raise UsageError(f"{key} is {value}.", f"Give {least} or more.")
    if spec.num_auxiliary_queries and not spec.learnable_positions_and_auxiliary:
        raise UsageError(
            "Auxiliary queries have learnable positions, which are switched off.",
            "Leave num_auxiliary_queries out, or switch learnable_positions_and_auxiliary on.",
        )


def random_model(name: str, **switches: Any) -> FastInst:
    """The same random weights every time (seed 0), so that an engine of theirs is built once and found again.

    Args:
        name, switches: as for `create_model`.

    Raises:
        UsageError: as `create_model`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create_model(name, **switches)
