"""PPM-FPN, the light pixel decoder of FastInst: a feature pyramid with pyramid pooling on its coarsest level."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastinst_rt.models.layers import ConvNorm


def resize(x: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Bilinear, align_corners=False (like every interpolation in these networks): [B,C,h,w] -> [B,C,*size]."""
    return F.interpolate(x, size=(int(size[0]), int(size[1])), mode="bilinear", align_corners=False)


def conv_group_norm(in_channels: int, out_channels: int, kernel: int, *, relu: bool) -> ConvNorm:
    """Convolution without bias + GroupNorm(32) (+ ReLU), same size."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_uniform_(conv.weight, a=1)
    return ConvNorm(conv, nn.GroupNorm(32, out_channels), nn.ReLU() if relu else None)


def conv_batch_norm(
    in_channels: int, out_channels: int, kernel: int, *, groups: int = 1, relu: bool = True
) -> ConvNorm:
    """Convolution without bias + batch norm (+ ReLU), same size."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_uniform_(conv.weight, a=1)
    return ConvNorm(conv, nn.BatchNorm2d(out_channels), nn.ReLU() if relu else None)


def conv_separable(channels: int) -> nn.Sequential:
    """A depth-wise 5x5 convolution, then a 1x1, each with batch norm and ReLU; same size."""
    return nn.Sequential(
        conv_batch_norm(channels, channels, 5, groups=channels), conv_batch_norm(channels, channels, 1)
    )


class PyramidPooling(nn.Module):
    """Pyramid pooling module (Zhao et al., 2017): [B,C,H,W] -> same shape, with context of the whole picture.

    Averages over grids of 1, 2, 3 and 6 cells a side, each through a 1x1 convolution to C/4 channels and ReLU, enlarged
    again, concatenated with the input last, then a 1x1 convolution to C and ReLU.
    """

    grids = (1, 2, 3, 6)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(channels, channels // 4, 1) for _ in self.grids)
        self.merge = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        context = [
            resize(F.relu(branch(F.adaptive_avg_pool2d(x, grid))), x.shape[-2:])
            for grid, branch in zip(self.grids, self.branches, strict=True)
        ]
        return F.relu(self.merge(torch.cat([*context, x], 1)))


class PPMFPN(nn.Module):
    """C3, C4, C5 -> E3 (stride 8), E4 (16), E5 (32), `width` channels each.

    Laterals are 1x1 convolutions with GroupNorm and no activation; the map *after* its 3x3 output convolution (with
    GroupNorm and ReLU) is enlarged and added to the next finer lateral.
    """

    def __init__(self, in_channels: tuple[int, int, int], width: int = 256) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(self._lateral(c, width) for c in in_channels)
        self.outputs = nn.ModuleList(self._output(width) for _ in in_channels)
        self.pyramid = PyramidPooling(width)

    def _lateral(self, in_channels: int, width: int) -> nn.Module:
        return conv_group_norm(in_channels, width, 1, relu=False)

    def _output(self, width: int) -> nn.Module:
        return conv_group_norm(width, width, 3, relu=True)

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        e5 = self.outputs[2](self.pyramid(self.laterals[2](c5)))
        lateral4 = self.laterals[1](c4)
        e4 = self.outputs[1](lateral4 + resize(e5, lateral4.shape[-2:]))
        lateral3 = self.laterals[0](c3)
        e3 = self.outputs[0](lateral3 + resize(e4, lateral3.shape[-2:]))
        return e3, e4, e5


class LightPPMFPN(PPMFPN):
    """PPM-FPN for a CPU: batch norms, and output convolutions that are depth-wise 5x5 and then 1x1.

    Batch norms fold into the convolutions at inference; group norms cannot (`zoo` says what either costs).
    """

    def _lateral(self, in_channels: int, width: int) -> nn.Module:
        return conv_batch_norm(in_channels, width, 1, relu=False)

    def _output(self, width: int) -> nn.Module:
        return conv_separable(width)
