"""Deformable convolution v1 (Dai et al., 2017) in plain PyTorch: runs anywhere, exports, converts to TensorRT."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DeformConv2d(nn.Module):
    """3x3 deformable convolution, one offset group, no modulation, padding 1, no bias until a norm is folded into it.

    The nine taps of an output pixel are read (bilinear, zero outside the map) at their regular places plus an offset
    that a 3x3 convolution with bias predicts from the same input: 18 channels, (dy, dx) for each tap in row-major
    order, in input pixels.

    All nine taps are one `grid_sample` call and the weights one matrix product, because that converts to TensorRT
    (`torchvision.ops.deform_conv2d` does not).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, 3, 3))
        self.bias: nn.Parameter | None
        self.register_parameter("bias", None)
        self.offset = nn.Conv2d(in_channels, 18, 3, stride, 1)
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.offset.weight)  # starts as the plain convolution
        nn.init.zeros_(self.offset.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """[B,Cin,H,W] -> [B,Cout,ceil(H/stride),ceil(W/stride)]."""
        batch, channels, height, width = x.shape
        offset = self.offset(x)
        out_height, out_width = offset.shape[-2:]
        # Coordinates in float16 are good to 1/30 px only on a 128-cell map, so sampling is never narrower than float32.
        precise = torch.promote_types(x.dtype, torch.float32)
        offset = offset.to(precise).view(batch, 9, 2, out_height, out_width)
        rows = torch.arange(out_height, device=x.device, dtype=precise) * self.stride
        columns = torch.arange(out_width, device=x.device, dtype=precise) * self.stride
        tap = torch.arange(-1, 2, device=x.device, dtype=precise)
        y = offset[:, :, 0] + tap.repeat_interleave(3).view(9, 1, 1) + rows.view(-1, 1)
        x_ = offset[:, :, 1] + tap.repeat(3).view(9, 1, 1) + columns
        grid = torch.stack(((2 * x_ + 1) / width - 1, (2 * y + 1) / height - 1), -1)
        taps = F.grid_sample(
            x.to(precise), grid.view(batch, 9 * out_height, out_width, 2), "bilinear", "zeros", align_corners=False
        )
        columns_of_taps = taps.to(x.dtype).view(batch, channels * 9, out_height * out_width)
        out = self.weight.flatten(1) @ columns_of_taps
        if self.bias is not None:
            out = out + self.bias.view(-1, 1)
        return out.view(batch, -1, out_height, out_width)
