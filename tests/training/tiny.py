"""A tiny FastInst (D1, light backbone) and a configuration that trains it on made-up pictures."""

from dataclasses import replace
from pathlib import Path

from torch import nn

from fastinst_rt.categories import Categories
from fastinst_rt.models.efficientnet_lite import EfficientNetLite
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.layers import FrozenBatchNorm2d
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


def tiny_net(categories: Categories, width: int = 64) -> FastInst:
    """nano, narrower, with fewer queries; the norms of its untrained backbone learn."""
    spec = replace(get_spec("fastinst-nano"), categories=categories, width=width, num_queries=16, feedforward=128)
    net = FastInst(spec)
    assert isinstance(net.backbone, EfficientNetLite)
    _thaw(net.backbone)
    return net


def _thaw(module: nn.Module) -> None:
    """Frozen norms with untrained statistics would leave the signal of a random backbone to die out."""
    for name, child in module.named_children():
        if isinstance(child, FrozenBatchNorm2d):
            setattr(module, name, nn.BatchNorm2d(len(child.weight)))
        else:
            _thaw(child)


def tiny_config(data: DataConfig, iterations: int, **run: object) -> TrainConfig:
    """Eight pictures as they are, every step."""
    return TrainConfig(
        model=ModelConfig("fastinst-nano"),
        data=data,
        augmentation=AugmentationConfig("crop", short_sides=(96,), crop=(96, 128)),
        schedule=ScheduleConfig(iterations, warmup=10, cooldown=iterations // 3),
        optimizer=OptimizerConfig(lr=1e-3, backbone_factor=1.0, ema_decay=0.9),
        loss=LossConfig(num_points=512),
        run=RunConfig(**{"batch": 8, "workers": 0, "checkpoint_every": 10**6, "log_every": 1} | run),  # type: ignore[arg-type]
    )


def coco_data(annotations: Path) -> DataConfig:
    """Pictures beside their annotation file."""
    return DataConfig("coco", annotations, annotations.parent)
