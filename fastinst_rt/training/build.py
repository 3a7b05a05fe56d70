"""From a configuration to the parts of a run: data set, recipe, network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastinst_rt.categories import CITYSCAPES, CITYSCAPES_THINGS, COCO, Categories
from fastinst_rt.errors import UsageError
from fastinst_rt.evaluation.datasets.cityscapes import Cityscapes
from fastinst_rt.evaluation.datasets.coco import CocoInstances
from fastinst_rt.evaluation.datasets.coco_panoptic import CocoPanoptic
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.training.config import AugmentationConfig, DataConfig, ModelConfig, TrainConfig
from fastinst_rt.training.loader import Order, SampleStream
from fastinst_rt.training.optimizer import freeze
from fastinst_rt.training.recipes import CocoRecipe, CropRecipe, JitterRecipe, Recipe
from fastinst_rt.training.samples import CocoSource, SampleSource
from fastinst_rt.training.segments import SegmentSource, Task

_CITYSCAPES_TASKS: dict[str, Task] = {
    "cityscapes-instances": "instances",
    "cityscapes-panoptic": "panoptic",
    "cityscapes-semantic": "semantic",
}


def make_source(config: DataConfig) -> SampleSource:
    """Open the data set.

    Raises:
        UsageError: the configuration does not say where it is.
        SourceOpenError: it is not there.
    """
    if config.format == "coco":
        annotations, images = _given(config, "annotations"), _given(config, "images")
        reader = CocoInstances(annotations, images)
        if set(reader.categories.dataset_ids) == set(COCO.dataset_ids):
            reader = CocoInstances(annotations, images, COCO)
        return CocoSource(reader, frozenset(config.incomplete))
    if config.format == "coco-panoptic":
        panoptic = CocoPanoptic(_given(config, "annotations"), _given(config, "images"), config.segments)
        return SegmentSource(panoptic, "panoptic")
    task = _CITYSCAPES_TASKS[config.format]
    categories = CITYSCAPES_THINGS if task == "instances" else CITYSCAPES
    return SegmentSource(Cityscapes(_given(config, "root"), config.split, categories), task)


def _given(config: DataConfig, key: str) -> Path:
    path: Path | None = getattr(config, key)
    if path is None:
        raise UsageError(f"The data format {config.format} needs data.{key}.", "Add it to the configuration.")
    return path


def make_stream(config: TrainConfig, source: SampleSource) -> SampleStream:
    """The endless stream of samples."""
    order = Order(len(source), config.run.seed, _emphasis(config.data, source))
    return SampleStream(source, make_recipe(config.augmentation, source.categories), order, config.run.batch)


def make_recipe(config: AugmentationConfig, categories: Categories) -> Recipe:
    """The augmentation."""
    if config.recipe == "coco":
        return CocoRecipe(config.short_sides, config.max_side, config.crop_short_sides, config.crop, config.colour > 0)
    if config.recipe == "crop":
        return CropRecipe(config.short_sides, config.crop, config.colour > 0)
    weights = _by_class(config.instance_weights, categories, 0.0) if config.instance_weights else None
    return JitterRecipe(
        config.sizes,
        config.zoom,
        mosaic=config.mosaic,
        paste=config.paste,
        focus=config.focus,
        colour=config.colour,
        turn=config.turn,
        instance_weights=weights,
    )


def make_net(config: ModelConfig, categories: Categories) -> FastInst:
    """The network with its starting weights.

    Raises:
        WeightsError: a checkpoint is missing, damaged or of another network.
    """
    from fastinst_rt.models.zoo import create_model

    try:
        net = create_model(config.name, num_classes=len(categories), **config.options)
    except TypeError as error:
        raise UsageError(f"The section [model.options] does not fit: {error}.", "See create_model.") from error
    net.spec = replace(net.spec, categories=categories)  # names for what `num_classes` only counts
    if config.backbone is not None:
        _load_backbone(net, config.backbone)
    if config.weights is not None:
        from fastinst_rt.weights.locate import load_any

        load_any(net, config.weights)
    freeze(net, config.freeze)
    return net


def _load_backbone(net: FastInst, path: Path) -> None:
    from fastinst_rt.models.efficientnet_lite import EfficientNetLite, load_imagenet_backbone
    from fastinst_rt.weights.backbone import load_resnet_backbone

    load = load_imagenet_backbone if isinstance(net.backbone, EfficientNetLite) else load_resnet_backbone
    load(net, path)


def _emphasis(config: DataConfig, source: SampleSource) -> npt.NDArray[np.float64] | None:
    if not config.emphasis:
        return None
    by_class = _by_class(config.emphasis, source.categories, 1.0)
    return np.array([by_class[list(source.classes_of(i))].max(initial=0.2) for i in range(len(source))])


def _by_class(values: dict[str, float], categories: Categories, otherwise: float) -> npt.NDArray[np.float64]:
    unknown = sorted(set(values) - set(categories.names))
    if unknown:
        raise UsageError(f"There is no class {unknown[0]!r} in the data set.", "Write the names as the data set does.")
    return np.array([values.get(name, otherwise) for name in categories.names])
