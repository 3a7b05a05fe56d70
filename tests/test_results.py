"""The vocabulary: instances, label maps, COCO records, RLE."""

from fractions import Fraction

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from fastinst_rt.categories import CITYSCAPES, COCO, Categories
from fastinst_rt.results import Frame, Instances, MaskCrop, Timings
from fastinst_rt.rle import decode, encode_crop


def two_overlapping() -> Instances:
    """A person (score 0.9) over a car (score 0.6) in a 6 x 8 picture."""
    return Instances(
        size=(6, 8),
        scores=np.array([0.9, 0.6], np.float32),
        class_ids=np.array([0, 2]),
        boxes=np.array([[1, 1, 4, 4], [2, 2, 8, 6]], np.float32),
        crops=(MaskCrop(1, 1, np.ones((3, 3), bool)), MaskCrop(2, 2, np.ones((4, 6), bool))),
        categories=COCO,
    )


def test_masks_are_the_crops_at_their_place() -> None:
    masks = two_overlapping().masks
    assert masks.shape == (2, 6, 8)
    assert masks.dtype == np.bool_
    assert masks[0].sum() == 9
    assert masks[0, 1:4, 1:4].all()
    assert masks[1, 2:, 2:].all()


def test_better_score_wins_the_label_map() -> None:
    labels = two_overlapping().label_map()
    assert labels[3, 3] == 1
    assert labels[5, 7] == 2
    assert labels[0, 0] == 0


def test_select_by_index_by_mask_and_nothing() -> None:
    found = two_overlapping()
    assert found.select([1, 0]).class_names == ["car", "person"]
    assert found.select(found.scores > 0.7).class_names == ["person"]
    assert len(found.select([])) == 0


def test_coco_records() -> None:
    record = two_overlapping().to_coco(image_id=7)[1]
    assert record["image_id"] == 7
    assert record["category_id"] == 3  # COCO's own id of car, not the class index 2
    assert record["bbox"] == [2, 2, 6, 4]
    assert record["area"] == 24
    assert "track_id" not in record
    np.testing.assert_array_equal(decode(record["segmentation"]), two_overlapping().masks[1])


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="boxes"):
        Instances((4, 4), np.ones(1, np.float32), np.zeros(1, np.int64), np.zeros((0, 4), np.float32), (), COCO)


def test_rle_equals_pycocotools_on_random_crops() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        height, width = (int(v) for v in rng.integers(1, 30, 2))
        h, w = int(rng.integers(0, height + 1)), int(rng.integers(0, width + 1))
        top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
        mask = rng.random((h, w)) < rng.choice([0, 0.3, 0.9, 1])
        full = np.zeros((height, width), np.uint8)
        full[top : top + h, left : left + w] = mask
        expected = coco_mask.encode(np.asfortranarray(full))
        assert encode_crop(MaskCrop(left, top, mask), (height, width))["counts"] == expected["counts"].decode()


def test_frame_time_is_exact() -> None:
    frame = Frame(3, 3003, Fraction(1, 90000), np.zeros((1, 1, 3), np.uint8), 0.0)
    assert frame.seconds == Fraction(3003, 90000)


def test_timings_sum() -> None:
    assert Timings(decode=1.0, engine=2.5).total == 3.5


def test_class_tables() -> None:
    assert len(COCO) == 80
    assert COCO.dataset_ids[-1] == 90
    assert COCO.index_of["teddy bear"] == 77
    assert len(CITYSCAPES) == 19
    assert sum(CITYSCAPES.is_thing) == 8
    with pytest.raises(ValueError, match="one entry a class"):
        Categories(("a",), (1, 2), (True,))
