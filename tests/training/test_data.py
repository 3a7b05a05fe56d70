"""Samples: what labels say and leave unsaid; augmentation; the order of pictures."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fastinst_rt.evaluation.datasets.coco import CocoInstances
from fastinst_rt.training.augment import coloured, cropped, flipped, padded, resized, short_side_size, turned
from fastinst_rt.training.loader import Order, Slots, collate
from fastinst_rt.training.mixing import copy_pasted, focused, mosaic
from fastinst_rt.training.recipes import CocoRecipe, CropRecipe, JitterRecipe
from fastinst_rt.training.samples import CocoSource, Sample
from tests.training.scenes import draw_scene, write_coco


def scene(seed: int, labelled: tuple[bool, bool, bool] = (True, True, True)) -> Sample:
    image, class_ids, masks = draw_scene(seed)
    regions = np.zeros(image.shape[:2], np.uint8)
    return Sample(image, class_ids, masks, np.array([labelled]), regions)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> CocoSource:
    path = write_coco(tmp_path_factory.mktemp("coco"), 6)
    return CocoSource(CocoInstances(path, path.parent))


def coco_file(folder: Path, **image_fields: object) -> CocoSource:
    """One scene with a crowd of boxes in its upper left corner."""
    import json

    from pycocotools import mask as coco_mask

    path = write_coco(folder, 1)
    content = json.loads(path.read_text())
    content["images"][0].update(image_fields)
    crowd = np.zeros((96, 128), np.uint8, order="F")
    crowd[:10, :10] = 1
    rle = coco_mask.encode(crowd)
    content["annotations"].append(
        {
            "id": 99,
            "image_id": 0,
            "category_id": 2,
            "iscrowd": 1,
            "area": 100,
            "bbox": [0, 0, 10, 10],
            "segmentation": {"size": [96, 128], "counts": rle["counts"].decode()},
        }
    )
    path.write_text(json.dumps(content))
    return CocoSource(CocoInstances(path, path.parent), frozenset({"gappy"}))


def test_a_crowd_is_no_instance_and_unlabelled_inside(tmp_path: Path) -> None:
    sample = coco_file(tmp_path)[0]
    assert len(sample.class_ids) == len(draw_scene(0)[1])
    assert sample.labelled[sample.regions[5, 5]].tolist() == [True, False, True]
    assert sample.labelled[sample.regions[50, 50]].all()


def test_incomplete_labels_speak_about_their_instances_only(tmp_path: Path) -> None:
    sample = coco_file(tmp_path, source="gappy", labelled_category_ids=[1, 2])[0]
    inside = sample.masks.any(0)
    assert (sample.labelled[sample.regions][inside] == [True, True, False]).all()
    outside = ~inside
    outside[:10, :10] = False
    assert not sample.labelled[sample.regions][outside].any()


def test_picture_and_labels_move_together() -> None:
    sample = scene(1)
    for moved in (
        flipped(sample),
        cropped(sample, 20, 30, (60, 80)),
        resized(sample, (192, 256)),
        turned(sample, 140.0),
    ):
        for mask, class_id in zip(moved.masks, moved.class_ids, strict=True):
            colour = moved.image[mask].mean(0)
            assert colour.argmax() == {0: 0, 1: 1, 2: 2}[int(class_id)]  # discs red, boxes green, triangles blue


def test_crop_drops_what_lies_outside() -> None:
    sample = scene(2)
    ys, xs = np.nonzero(sample.masks[0])
    kept = cropped(sample, int(ys.min()), int(xs.min()), (int(np.ptp(ys)) + 1, int(np.ptp(xs)) + 1))
    assert kept.masks.reshape(len(kept.masks), -1).any(1).all()
    assert len(kept.class_ids) <= len(sample.class_ids)


def test_padding_is_background_of_every_class() -> None:
    wide = padded(scene(0, (True, False, False)), (128, 160))
    assert wide.image.shape == (128, 160, 3)
    assert wide.labelled[wide.regions[120, 150]].all()
    assert wide.labelled[wide.regions[0, 0]].tolist() == [True, False, False]


def test_turning_by_half_is_both_mirrors_and_what_comes_in_is_background() -> None:
    sample = scene(1, (True, False, False))
    half = turned(sample, 180.0)
    assert (half.image == sample.image[::-1, ::-1]).all()
    assert (half.masks == sample.masks[:, ::-1, ::-1]).all()
    assert half.labelled[half.regions].tolist() == sample.labelled[sample.regions].tolist()
    corner = turned(sample, 45.0)
    assert corner.labelled[corner.regions[0, 0]].all()
    assert not corner.masks[:, 0, 0].any()


def test_colour_leaves_labels_alone() -> None:
    sample = scene(3)
    changed = coloured(sample, np.random.default_rng(1))
    assert (changed.image != sample.image).any()
    assert changed.masks is sample.masks


def test_copy_paste_puts_instances_in_front() -> None:
    base, donor = scene(0), scene(5)
    mixed = copy_pasted(base, donor, [0])
    assert (mixed.image[donor.masks[0]] == donor.image[donor.masks[0]]).all()
    assert (mixed.masks[-1] == donor.masks[0]).all()
    assert not (mixed.masks[:-1] & donor.masks[0]).any()
    assert mixed.class_ids[-1] == donor.class_ids[0]


def test_copy_paste_keeps_what_each_picture_leaves_unsaid() -> None:
    base, donor = scene(0, (True, True, True)), scene(5, (True, False, False))
    mixed = copy_pasted(base, donor, [0])
    said = mixed.labelled[mixed.regions]
    assert (said[donor.masks[0]] == (True, False, False)).all()
    assert said[~donor.masks[0]].all()


def test_mosaic_keeps_what_each_part_leaves_unsaid() -> None:
    labels = [(True, True, True), (True, False, False), (False, True, False), (False, False, True)]
    mixed = mosaic([scene(i, label) for i, label in enumerate(labels)], (96, 128), np.random.default_rng(0))
    corners = [(1, 1), (1, 126), (94, 1), (94, 126)]
    rows = {tuple(row) for y, x in corners for row in [mixed.labelled[mixed.regions[y, x]].tolist()]}
    assert rows <= {*labels, (True, True, True)}
    assert len(mixed.masks) == len(mixed.class_ids)
    assert mixed.labelled.shape[0] > int(mixed.regions.max())


@pytest.mark.parametrize("share", [0.3, 0.9, 1.1])
@pytest.mark.parametrize("size", [(64, 96), (96, 64), (300, 40)])
def test_focus_shows_the_chosen_instance_at_its_share_of_the_frame(share: float, size: tuple[int, int]) -> None:
    whole = scene(3)
    chosen = int(np.argmax(np.count_nonzero(whole.masks, axis=(1, 2))))
    alone = replace(whole, masks=whole.masks[chosen : chosen + 1], class_ids=whole.class_ids[chosen : chosen + 1])
    for seed in range(5):
        near = focused(alone, 0, size, share, np.random.default_rng(seed))
        assert near.image.shape[:2] == near.regions.shape == near.masks.shape[1:] == size
        assert near.class_ids.tolist() == alone.class_ids.tolist()
        taken = max(near.masks[0].any(1).mean(), near.masks[0].any(0).mean())
        assert taken == pytest.approx(min(share, 1.0), abs=0.1)


@pytest.mark.parametrize(
    "recipe",
    [
        CocoRecipe((96, 128), 200, (80, 100), (64, 90), True),
        CropRecipe((96, 128), (64, 96)),
        JitterRecipe(((64, 96), (96, 64)), mosaic=0.5, paste=0.5, focus=0.5, turn=1.0, instance_weights=np.ones(3)),
    ],
)
def test_recipes_are_functions_of_their_seed(recipe, source: CocoSource) -> None:  # type: ignore[no-untyped-def]
    for seed in range(8):
        one, two = (recipe(source, seed % 6, np.random.default_rng(seed), np.random.default_rng(0)) for _ in range(2))
        assert (one.image == two.image).all()
        assert (one.masks == two.masks).all()
        assert one.masks.shape[1:] == one.image.shape[:2] == one.regions.shape
        assert one.masks.reshape(len(one.masks), -1).any(1).all()


def test_published_short_side_rule() -> None:
    assert short_side_size((480, 640), 640, 853) == (640, 853)
    assert short_side_size((427, 1000), 640, 853) == (364, 853)


def test_every_epoch_shows_every_picture_once() -> None:
    order = Order(7, seed=1)
    first, second = ([order[i] for i in range(e * 7, e * 7 + 7)] for e in range(2))
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second


def test_weights_are_shares() -> None:
    order = Order(4, seed=0, weights=np.array([1.0, 1.0, 2.0, 4.0]))
    counts = Counter(order[i] for i in range(400))
    assert counts[3] == pytest.approx(200, abs=15)
    assert counts[2] == pytest.approx(100, abs=15)


def test_processes_and_parts_share_a_step() -> None:
    keys = [key for rank in range(2) for part in Slots(3, 4, parts=2, batch=2, rank=rank) for key in part]
    assert sorted(keys) == [(3, slot) for slot in range(8)]


def test_batches_are_padded_to_the_stride() -> None:
    partial = scene(0, (True, False, True))
    batch = collate([resized(partial, (50, 70)), scene(1)])
    assert batch.images.shape == (2, 3, 96, 128)
    assert batch.sizes == ((50, 70), (96, 128))
    assert not batch.images[0, :, 50:].any()
    assert batch.targets[1].labelled is None
    corner = batch.targets[0].labelled_at(torch.tensor([[0.99, 0.99], [0.1, 0.1]]))
    assert corner is not None
    assert corner.tolist() == [[True, True, True], [True, False, True]]
