"""Panoptic and semantic training on a made-up set in the Cityscapes layout, evaluated end to end."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from fastinst_rt.categories import CITYSCAPES, CITYSCAPES_THINGS
from fastinst_rt.evaluation.datasets.cityscapes import Cityscapes
from fastinst_rt.evaluation.mean_iou import MeanIoU
from fastinst_rt.evaluation.panoptic_quality import PanopticQuality
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.postprocess.segments import panoptic, semantic
from fastinst_rt.results import Geometry
from fastinst_rt.training.build import make_source, make_stream
from fastinst_rt.training.config import DataConfig
from fastinst_rt.training.segments import SegmentSource
from fastinst_rt.training.trainer import Process, Trainer
from tests.training.tiny import tiny_config, tiny_net

SIZE = (64, 96)
ROAD, SKY, CAR, PERSON, VOID = 7, 23, 26, 24, 0
COLOURS = {ROAD: (110, 100, 105), SKY: (240, 190, 120), CAR: (40, 40, 220), PERSON: (60, 200, 60), VOID: (0, 0, 0)}


def street(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """BGR picture and instance ids: sky above road, a car left, persons right (the last a group), a void corner."""
    rng = np.random.default_rng(seed)
    ids = np.full(SIZE, ROAD, np.uint16)
    ids[: SIZE[0] // 2] = SKY
    x = int(rng.integers(2, 8))
    ids[20:52, x : x + 28] = CAR * 1000
    ids[12:58, 44:62] = PERSON * 1000
    ids[12:58, 72:90] = PERSON * 1000 + 1 if seed % 2 else PERSON
    ids[:8, :8] = VOID
    labels = np.where(ids >= 1000, ids // 1000, ids)
    image = np.zeros((*SIZE, 3), np.uint8)
    for label, colour in COLOURS.items():
        image[labels == label] = colour
    return np.clip(image + rng.integers(-8, 9, image.shape), 0, 255).astype(np.uint8), ids


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cityscapes")
    for seed in range(4):
        image, ids = street(seed)
        for kind, suffix, content in (("leftImg8bit", "leftImg8bit", image), ("gtFine", "gtFine_instanceIds", ids)):
            path = folder / kind / "train" / "town" / f"town_{seed:06d}_000000_{suffix}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), content)
    return folder


def test_instances_are_things_alone(root: Path) -> None:
    sample = SegmentSource(Cityscapes(root, "train", CITYSCAPES_THINGS), "instances")[1]
    names = [CITYSCAPES_THINGS.names[c] for c in sample.class_ids]
    assert sorted(names) == ["car", "person", "person"]
    assert sample.labelled[sample.regions].all()


def test_groups_and_void_are_left_unsaid(root: Path) -> None:
    sample = SegmentSource(Cityscapes(root, "train"), "panoptic")[0]
    names = [CITYSCAPES.names[c] for c in sample.class_ids]
    assert sorted(names) == ["car", "person", "road", "sky"]
    assert not sample.labelled[sample.regions[2, 2]].any()
    group = sample.labelled[sample.regions[40, 80]]
    assert [CITYSCAPES.names[c] for c in np.nonzero(~group)[0]] == ["person"]


def test_semantic_segments_are_classes(root: Path) -> None:
    sample = SegmentSource(Cityscapes(root, "train"), "semantic")[0]
    names = [CITYSCAPES.names[c] for c in sample.class_ids]
    assert names == ["road", "sky", "person", "car"]
    person = sample.masks[names.index("person")]
    assert person[40, 50]
    assert person[40, 80]


def trained(data: DataConfig, iterations: int, folder: Path) -> FastInst:
    config = tiny_config(data, iterations, batch=4)
    # at the scale of the pictures: otherwise the running statistics of its batch norms are of larger things
    config = replace(config, augmentation=replace(config.augmentation, short_sides=(min(SIZE),), crop=SIZE))
    source = make_source(config.data)
    torch.manual_seed(0)
    net = tiny_net(source.categories)
    trainer = Trainer(config, net, make_stream(config, source), folder, Process.join("cpu"))
    trainer.run()
    net.load_state_dict(trainer.weights)
    return net.eval()


def predict(net: FastInst, reader: Cityscapes, index: int) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.from_numpy(reader.image(index)[:, :, ::-1].transpose(2, 0, 1).copy())[None].float()
    with torch.no_grad():
        logits, masks = net(image)
    return logits[0], masks[0]


@pytest.mark.slow
def test_panoptic_training_end_to_end(root: Path, tmp_path: Path) -> None:
    net = trained(DataConfig("cityscapes-panoptic", root=root), 220, tmp_path)
    reader = Cityscapes(root, "train")
    quality, iou = PanopticQuality(CITYSCAPES, CITYSCAPES), MeanIoU(CITYSCAPES, CITYSCAPES)
    for index in range(len(reader)):
        prediction, geometry = predict(net, reader, index), Geometry(SIZE, SIZE, SIZE)
        quality.add(reader.segments(index), panoptic(*prediction, geometry, CITYSCAPES, score=0.5))
        iou.add(reader.segments(index).semantic_map(), semantic(*prediction, geometry))
    assert quality.report().figures["PQ"] > 0.9
    assert iou.report().figures["mIoU"] > 0.9


@pytest.mark.slow
def test_semantic_training_end_to_end(root: Path, tmp_path: Path) -> None:
    net = trained(DataConfig("cityscapes-semantic", root=root), 120, tmp_path)
    reader, iou = Cityscapes(root, "train"), MeanIoU(CITYSCAPES, CITYSCAPES)
    for index in range(len(reader)):
        found = semantic(*predict(net, reader, index), Geometry(SIZE, SIZE, SIZE))
        iou.add(reader.segments(index).semantic_map(), found)
    assert iou.report().figures["mIoU"] > 0.6
