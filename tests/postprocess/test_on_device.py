"""The GPU's way of finding instances, run on the CPU beside the CPU's own way."""

import numpy as np
import pytest
import torch

from fastinst_rt.categories import Categories
from fastinst_rt.postprocess import instances
from fastinst_rt.postprocess.on_device import DeviceInstances, find, label_map, paint
from fastinst_rt.preprocess import geometry
from fastinst_rt.results import Geometry, Instances

_CLASSES = Categories.numbered(12)


def _scene(shape: Geometry, queries: int, seed: int, sure: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of `queries` ellipses, `sure` of them with a class."""
    random = np.random.default_rng(seed)
    height, width = shape.padded[0] // 8, shape.padded[1] // 8
    y, x = np.mgrid[:height, :width]
    masks = [
        8 * (1 - ((y - random.uniform(0, height)) / random.uniform(2, 14)) ** 2)
        - 8 * ((x - random.uniform(0, width)) / random.uniform(2, 20)) ** 2
        for _ in range(queries)
    ]
    logits = random.normal(0, 0.5, (queries, len(_CLASSES) + 1))
    logits[:, -1] += 4
    for query in range(sure):
        logits[query, random.integers(len(_CLASSES))] += random.uniform(7, 12)
    return torch.from_numpy(logits).float(), torch.from_numpy(np.stack(masks)).float()


def _same(ours: Instances, theirs: Instances) -> None:
    assert len(ours) == len(theirs) > 0
    np.testing.assert_array_equal(ours.class_ids, theirs.class_ids)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=2e-3)
    np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=1)
    for mask, other in zip(ours.masks, theirs.masks, strict=True):
        assert (mask & other).sum() / (mask | other).sum() >= 0.99


_GPU = pytest.param(
    "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]
)


@pytest.mark.parametrize("device", ["cpu", _GPU])
@pytest.mark.parametrize("frame", [(480, 640), (333, 501), (270, 480)])
def test_same_instances_as_on_the_cpu(frame: tuple[int, int], device: str) -> None:
    shape = geometry(frame, 288, 388)
    for seed in range(3):
        logits, masks = _scene(shape, 30, seed, sure=6)
        _same(
            DeviceInstances()(logits.to(device), masks.to(device), shape, _CLASSES),
            instances(logits, masks, shape, _CLASSES),
        )


def test_more_instances_than_room_are_done_again() -> None:
    shape = geometry((270, 480), 288, 388)
    logits, masks = _scene(shape, 60, 1, sure=40)
    on_device = DeviceInstances()
    assert on_device.room < 40
    _same(on_device(logits, masks, shape, _CLASSES), instances(logits, masks, shape, _CLASSES))
    assert on_device.room >= 80
    few = _scene(shape, 60, 2, sure=2)
    on_device(*few, shape, _CLASSES)
    assert on_device.room == 8


def test_low_threshold_looks_at_the_same_pairs() -> None:
    shape = geometry((270, 480), 288, 388)
    logits, masks = _scene(shape, 30, 4, sure=6)
    ours = DeviceInstances()(logits, masks, shape, _CLASSES, score=0.01)
    theirs = instances(logits, masks, shape, _CLASSES, score=0.01)
    assert len(ours) == len(theirs) > 6
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=2e-3)


def test_classes_and_number_are_limited() -> None:
    shape = geometry((270, 480), 288, 388)
    logits, masks = _scene(shape, 30, 5, sure=12)
    everything = instances(logits, masks, shape, _CLASSES)
    chosen = sorted(set(everything.class_ids.tolist()))[:2]
    _same(
        DeviceInstances()(logits, masks, shape, _CLASSES, classes=chosen),
        instances(logits, masks, shape, _CLASSES, classes=chosen),
    )
    _same(
        DeviceInstances()(logits, masks, shape, _CLASSES, max_instances=3),
        instances(logits, masks, shape, _CLASSES, max_instances=3),
    )


def test_nothing_found() -> None:
    shape = geometry((270, 480), 288, 388)
    logits, masks = _scene(shape, 20, 6, sure=0)
    assert len(DeviceInstances()(logits, masks, shape, _CLASSES)) == 0
    empty = DeviceInstances()(*_scene(shape, 20, 6, sure=5), shape, _CLASSES, classes=[])
    assert len(empty) == 0


def test_empty_mask_of_a_sure_class_is_not_kept() -> None:
    shape = geometry((270, 480), 288, 388)
    logits, masks = _scene(shape, 20, 7, sure=3)
    masks[0] = -5
    found = DeviceInstances()(logits, masks, shape, _CLASSES)
    _same(found, instances(logits, masks, shape, _CLASSES))
    assert all(crop.mask.any() for crop in found.crops)


def test_label_map_and_paint() -> None:
    shape = geometry((270, 480), 288, 388)
    logits, masks = _scene(shape, 30, 8, sure=6)
    found = find(logits, masks, shape, score=0.5, classes=None, room=16)
    labels = label_map(found)
    expected = instances(logits, masks, shape, _CLASSES).label_map()
    assert (labels.numpy() == expected).mean() > 0.999
    frame = torch.full((270, 480, 3), 100, dtype=torch.uint8)
    colours = torch.tensor([[200, 0, 50]] * 16, dtype=torch.uint8)
    painted = paint(frame, labels, colours, 0.5)
    assert (painted[labels == 0] == 100).all()
    assert (painted[labels > 0] == torch.tensor([150, 50, 75], dtype=torch.uint8)).all()
