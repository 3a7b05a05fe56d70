"""Small parts that every network here is built from: convolution with norm, frozen batch norm, MLP, float32 islands."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FrozenBatchNorm2d(nn.Module):
    """Batch norm with fixed statistics and a fixed affine part (all four are buffers), eps 1e-5; [B,C,H,W] -> same.

    All backbone norms of the published models are of this kind: they do not train and fold into the convolution.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


class ConvNorm(nn.Module):
    """Convolution, then norm, then activation; any of the last two may be `nn.Identity()`.

    Args:
        conv: a module with `weight` and `bias` whose output the norm takes; without a bias where a norm follows.
        norm: norm over the output channels.
        activation: element-wise function.
    """

    def __init__(self, conv: nn.Module, norm: nn.Module, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm
        self.activation = activation or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activation(self.norm(self.conv(x)))
        return out


class MLP(nn.Module):
    """Linear layers with ReLU between them: `widths[0]` -> ... -> `widths[-1]` on the last axis."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        out: Tensor = self.layers[-1](x)
        return out


class AtLeastFloat32(nn.Module):
    """Base of modules whose parameters and buffers never become narrower than float32.

    `net.half()` leaves them as they are (their float32 values stay exact); `net.double()` widens them. Device moves go
    through.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "AtLeastFloat32":
        def widest(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if tensor.is_floating_point() and moved.element_size() < 4:
                return tensor.to(device=moved.device, dtype=torch.promote_types(tensor.dtype, torch.float32))
            return moved

        super()._apply(widest, recurse)  # type: ignore[no-untyped-call]
        return self


class Normalization(AtLeastFloat32):
    """(x - mean) / std per channel, in float32 or wider."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, float, float], std: tuple[float, float, float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    def forward(self, image: Tensor, channels: int = 1) -> Tensor:
        """Normalise [B,3,H,W], or [B,H,W,3] with `channels` = 3: the axis of the colours."""
        shape = [3 if axis == channels else 1 for axis in range(4)]
        return (image.to(self.mean.dtype) - self.mean.view(shape)) / self.std.view(shape)
