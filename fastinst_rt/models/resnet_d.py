"""ResNet-50-d (He et al., 2019) with deformable convolutions in its last two stages: the backbone `r50dcn`."""

from torch import nn

from fastinst_rt.models.resnet import Bottleneck, ResNet, conv_frozen_norm


class ResNetDeformable(ResNet):
    """ResNet-D: a stem of three 3x3 convolutions (32, 32, 64 wide), average-pooled shortcuts, and deformable 3x3
    convolutions in *all* blocks of the stages of C4 and C5. Interface as `ResNet`.
    """

    def __init__(self, depth: int = 50) -> None:
        super().__init__(depth)
        self.stem = nn.Sequential(
            conv_frozen_norm(3, 32, 3, 2), conv_frozen_norm(32, 32, 3), conv_frozen_norm(32, 64, 3)
        )

    def _block(self, index: int, in_channels: int, width: int, stride: int) -> Bottleneck:
        return Bottleneck(in_channels, width, stride, deformable=index >= 2, pool_shortcut=True)
