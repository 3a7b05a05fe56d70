"""Where a pixel or a query is: the learnable position map (E of Table I), the fixed sine embedding it replaces, and how
far a pixel lies from a query's place.
"""

from math import pi
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


_BELLS, _SLOPES = (2.0, 4.0, 8.0, 16.0), (8.0, 16.0)
"""Reaches of the functions of the distance from a query's place, in pixels of E3 (times 8 in pixels of the input)."""


class Offsets(NamedTuple):
    """Functions of how far pixels lie from the query's place, one axis at a time.

    First the bells exp(-(d/r)^2 / 2), then the slopes tanh(d/r), one for each of their reaches r: values in -1..1.

    Attributes:
        vertical: [B,Q,6,h].
        horizontal: [B,Q,6,w].
    """

    vertical: Tensor
    horizontal: Tensor


def offsets_from(indices: Tensor, proposals: tuple[int, int], size: tuple[int, int], dtype: torch.dtype) -> Offsets:
    """Offsets of the pixels of E3 from the places of the queries.

    Args:
        indices: int64 [B,Q], flat places on the proposal map (E4).
        proposals, size: (h, w) of E4 and of E3.
        dtype: of the result.
    """
    height, width = proposals
    # A table of constants, one row for each place, suits every compiler: integer remainders do not, and functions of
    # the distance would be two dozen small operators in each picture.
    rows = _functions(height, size[0], indices.device)[:, None].expand(-1, width, -1)
    columns = _functions(width, size[1], indices.device).expand(height, -1, -1)
    vertical, horizontal = (F.embedding(indices, table.flatten(0, 1).to(dtype)) for table in (rows, columns))
    shape = (*indices.shape, len(_BELLS) + len(_SLOPES))
    return Offsets(vertical.view(*shape, size[0]), horizontal.view(*shape, size[1]))


def _functions(cells: int, pixels: int, device: torch.device) -> Tensor:
    """float32 [cells, 6 * pixels]: the functions along one axis, for each cell that a place may have on it."""
    places = (torch.arange(cells, device=device, dtype=torch.float32) + 0.5) * (pixels / cells) - 0.5
    distance = torch.arange(pixels, device=device, dtype=torch.float32) - places.unsqueeze(-1)
    bells = [torch.exp(-0.5 * (distance / reach).square()) for reach in _BELLS]
    slopes = [torch.tanh(distance / reach) for reach in _SLOPES]
    return torch.cat([*bells, *slopes], 1)


class RelativeMasks(nn.Module):
    """What a query's mask logits gain from where a pixel lies relative to the query's place.

    Our addition for small networks. The published masks are products of query and pixel features, so two alike objects
    side by side are kept apart only by what the features say about the place; learning that takes long schedules. Here
    a query draws a window around itself: a sum of bells and slopes along each axis and of round bells, with weights
    that are linear in its features. CondInst (Tian et al., ECCV 2020) gives its mask heads relative coordinates for the
    same reason. The weights begin at zero: no window.

    Args:
        width: channels of the queries.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bells = len(_BELLS)
        self.functions = self.bells + len(_SLOPES)
        self.weights = nn.Linear(width, 2 * self.functions + self.bells)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)

    def forward(self, queries: Tensor, offsets: Offsets) -> Tensor:
        """[B,Q,C] -> [B,Q,h,w], to be added to mask logits."""
        vertical, horizontal, both = (
            self.weights(queries).unsqueeze(-2).split([self.functions, self.functions, self.bells], -1)
        )
        rows = (vertical @ offsets.vertical).transpose(-2, -1)
        columns = horizontal @ offsets.horizontal
        bells_down = offsets.vertical[:, :, : self.bells] * both.transpose(-2, -1)
        round_bells = bells_down.transpose(-2, -1) @ offsets.horizontal[:, :, : self.bells]
        window: Tensor = rows + columns + round_bells
        return window
