"""A tiny FastInst (D1, light backbone) and a configuration that trains it on made-up pictures."""

import itertools
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from fastinst_rt.categories import Categories
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.pixel_decoder import LightPPMFPN
from fastinst_rt.models.zoo import get_spec
from fastinst_rt.training.config import (
    AugmentationConfig,
    DataConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    RunConfig,
    ScheduleConfig,
    TrainConfig,
)


class TinyBackbone(nn.Sequential):
    """Five convolutions with stride 2: learns from nothing in seconds, which no published backbone does."""

    out_channels = (48, 64, 96)

    def __init__(self) -> None:
        widths = (3, 16, 32, *self.out_channels)
        super().__init__(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
                for a, b in itertools.pairwise(widths)
            )
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        maps = []
        for stage in self:
            x = stage(x)
            maps.append(x)
        return maps[2], maps[3], maps[4]


def tiny_net(categories: Categories, width: int = 64, layers: int = 1) -> FastInst:
    """nano, narrower, with fewer queries, on a backbone of five convolutions."""
    spec = replace(
        get_spec("fastinst-nano"),
        categories=categories,
        width=width,
        num_queries=16,
        feedforward=128,
        decoder_layers=layers,
        fine_masks=False,  # the tiny backbone has no stride-4 map to offer
    )
    net = FastInst(spec)
    net.backbone = TinyBackbone()  # type: ignore[assignment]
    net.pixel_decoder = LightPPMFPN(TinyBackbone.out_channels, width)
    return net.train()


def tiny_config(data: DataConfig, iterations: int, **run: object) -> TrainConfig:
    """Eight pictures as they are, every step."""
    return TrainConfig(
        model=ModelConfig("fastinst-nano"),
        data=data,
        augmentation=AugmentationConfig("crop", short_sides=(96,), crop=(96, 128)),
        schedule=ScheduleConfig(iterations, warmup=10, cooldown=iterations // 3),
        optimizer=OptimizerConfig(lr=2e-3, backbone_factor=1.0, clip_norm=1.0, ema_decay=0.9),
        loss=LossConfig(num_points=512),
        run=RunConfig(**{"batch": 8, "workers": 0, "checkpoint_every": 10**6, "log_every": 1} | run),  # type: ignore[arg-type]
    )


def coco_data(annotations: Path) -> DataConfig:
    """Pictures beside their annotation file."""
    return DataConfig("coco", annotations, annotations.parent)
