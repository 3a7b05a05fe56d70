"""Where a pixel or a query is: the learnable position map (E of Table I) and the fixed sine embedding it replaces."""

from math import pi

import torch
from torch import Tensor, nn

from fastinst_rt.models.pixel_decoder import resize


class LearnablePositions(nn.Module):
    """One learnable map, resized to whatever size is asked for.

    Args:
        width: channels.
        side: the map is side x side (the square root of the number of queries, rounded; 10 in the published models).
    """

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.map = nn.Parameter(torch.randn(1, width, side, side))

    def forward(self, like: Tensor) -> Tensor:
        """Position embedding [1,C,h,w] for a map `like` [B,C,h,w]."""
        return resize(self.map, like.shape[-2:])


class SinePositions(nn.Module):
    """The fixed embedding of DETR and Mask2Former: half the channels for y, half for x, each sines and cosines of the
    relative position (2 pi at the far edge) at geometrically spaced frequencies down to 1/10000.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, like: Tensor) -> Tensor:
        """Position embedding [1,C,h,w] for a map `like` [B,C,h,w]."""
        precise = torch.promote_types(like.dtype, torch.float32)
        height, width = like.shape[-2:]
        vertical, horizontal = (self._axis(n, like.device, precise) for n in (height, width))
        grid = torch.cat((vertical[:, :, None].expand(-1, -1, width), horizontal[:, None, :].expand(-1, height, -1)), 0)
        return grid.unsqueeze(0).to(like.dtype)

    def _axis(self, length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        half = self.width // 2
        place = torch.arange(1, length + 1, device=device, dtype=dtype) * (2 * pi / (length + 1e-6))
        exponent = torch.arange(half // 2, device=device, dtype=dtype) * (2 / half)
        angle = place / (10000**exponent).view(-1, 1)
        return torch.stack((angle.sin(), angle.cos()), 1).flatten(0, 1)
