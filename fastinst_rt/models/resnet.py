"""ResNet-50 and ResNet-101 (He et al., 2016) with the stride in the 3x3 convolution and frozen batch norms."""

from torch import Tensor, nn
from torch.nn import functional as F

from fastinst_rt.models.deform_conv import DeformConv2d
from fastinst_rt.models.layers import ConvNorm, FrozenBatchNorm2d

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def conv_frozen_norm(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, *, relu: bool = True, deformable: bool = False
) -> ConvNorm:
    """Convolution without bias + frozen batch norm (+ ReLU), padded so that only the stride changes the size."""
    conv: nn.Module
    if deformable:
        conv = DeformConv2d(in_channels, out_channels, stride)
    else:
        conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return ConvNorm(conv, FrozenBatchNorm2d(out_channels), nn.ReLU() if relu else None)


class Bottleneck(nn.Module):
    """Residual block 1x1 -> 3x3 (stride, perhaps deformable) -> 1x1 of four times the width.

    Args:
        pool_shortcut: shrink the shortcut by 2x2 average pooling before its 1x1 convolution (ResNet-D) and not by a
            stride in it. (The published model pools with `ceil_mode`; maps here always have even sides, as pictures are
            padded to multiples of 32.)
    """

    def __init__(
        self, in_channels: int, width: int, stride: int, *, deformable: bool = False, pool_shortcut: bool = False
    ) -> None:
        super().__init__()
        out_channels = 4 * width
        self.conv1 = conv_frozen_norm(in_channels, width, 1)
        self.conv2 = conv_frozen_norm(width, width, 3, stride, deformable=deformable)
        self.conv3 = conv_frozen_norm(width, out_channels, 1, relu=False)
        # With identity norms the sum over 33 blocks of a random network leaves the range of float16.
        nn.init.constant_(self.conv3.get_buffer("norm.weight"), 0.25)
        self.shortcut: nn.Module = nn.Identity()
        self.shortcut_pool: nn.Module = nn.AvgPool2d(2) if pool_shortcut and stride == 2 else nn.Identity()
        if stride != 1 or in_channels != out_channels:
            shortcut_stride = 1 if pool_shortcut else stride
            self.shortcut = conv_frozen_norm(in_channels, out_channels, 1, shortcut_stride, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.conv3(self.conv2(self.conv1(x)))
        return F.relu(residual + self.shortcut(self.shortcut_pool(x)))


class ResNet(nn.Module):
    """Backbone: normalised picture [B,3,H,W] -> C3 (stride 8), C4 (16), C5 (32).

    Args:
        depth: 50 or 101.

    Attributes:
        out_channels: channels of C3, C4, C5.
    """

    out_channels = (512, 1024, 2048)

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_frozen_norm(3, 64, 7, 2))
        self.stages = nn.ModuleList()
        for index, blocks in enumerate(DEPTHS[depth]):
            self.stages.append(self._stage(index, blocks))

    def _stage(self, index: int, blocks: int) -> nn.Sequential:
        in_channels, width = (64 if index == 0 else 128 << index), 64 << index
        first = self._block(index, in_channels, width, 1 if index == 0 else 2)
        return nn.Sequential(first, *(self._block(index, 4 * width, width, 1) for _ in range(blocks - 1)))

    def _block(self, index: int, in_channels: int, width: int, stride: int) -> Bottleneck:  # noqa: ARG002
        return Bottleneck(in_channels, width, stride)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = F.max_pool2d(self.stem(x), 3, 2, 1)
        c2 = self.stages[0](x)
        c3 = self.stages[1](c2)
        c4 = self.stages[2](c3)
        return c3, c4, self.stages[3](c4)
