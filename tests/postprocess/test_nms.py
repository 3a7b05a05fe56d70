"""Of masks of one class that lie on each other the best stays; every other one stays too."""

import numpy as np
import pytest

from fastinst_rt.categories import COCO
from fastinst_rt.postprocess.enlarge import box, trim
from fastinst_rt.postprocess.nms import mask_nms
from fastinst_rt.results import Instances, Timings

SIZE = (40, 60)


def made(*parts: tuple[int, tuple[int, int, int, int]]) -> Instances:
    """Rectangles (class, x1 y1 x2 y2), best first."""
    crops = []
    for _, (x1, y1, x2, y2) in parts:
        mask = np.zeros(SIZE, np.bool_)
        mask[y1:y2, x1:x2] = True
        crops.append(trim(mask))
    return Instances(
        size=SIZE,
        scores=np.linspace(0.9, 0.5, len(parts), dtype=np.float32),
        class_ids=np.array([part[0] for part in parts], np.int64),
        boxes=np.array([box(crop) for crop in crops], np.float32).reshape(-1, 4),
        crops=tuple(crops),
        categories=COCO,
        timings=Timings(select=1.0),
    )


def by_definition(found: Instances, iou: float) -> list[int]:
    """Indices kept, over whole masks."""
    kept: list[int] = []
    for i in range(len(found)):
        if all(
            found.class_ids[i] != found.class_ids[k]
            or np.sum(found.masks[i] & found.masks[k]) <= iou * np.sum(found.masks[i] | found.masks[k])
            for k in kept
        ):
            kept.append(i)
    return kept


def test_the_second_mask_of_one_object_goes() -> None:
    found = mask_nms(made((0, (0, 0, 20, 20)), (0, (1, 0, 20, 20)), (0, (30, 0, 50, 20))), 0.6)
    assert found.boxes[:, 0].tolist() == [0, 30]
    assert found.scores.tolist() == pytest.approx([0.9, 0.5])
    assert found.timings.select > 1.0


def test_another_class_is_another_object() -> None:
    assert len(mask_nms(made((0, (0, 0, 20, 20)), (1, (0, 0, 20, 20))), 0.6)) == 2


def test_a_small_one_on_a_large_one_stays() -> None:
    assert len(mask_nms(made((0, (0, 0, 40, 40)), (0, (10, 10, 20, 20))), 0.6)) == 2


def test_what_has_gone_takes_no_other_with_it() -> None:
    chain = made((0, (0, 0, 20, 20)), (0, (4, 0, 24, 20)), (0, (8, 0, 28, 20)))
    assert mask_nms(chain, 0.6).boxes[:, 0].tolist() == [0, 8]


def test_empty_masks_and_no_instances() -> None:
    assert len(mask_nms(made((0, (0, 0, 0, 0)), (0, (0, 0, 0, 0))), 0.6)) == 2
    assert len(mask_nms(made(), 0.6)) == 0


def test_at_most_so_many_stay_after_repeats_have_gone() -> None:
    found = mask_nms(made((0, (0, 0, 20, 20)), (0, (0, 0, 20, 20)), (0, (30, 0, 50, 20))), 0.6, max_instances=2)
    assert found.boxes[:, 0].tolist() == [0, 30]


def test_as_by_definition_on_drawn_rectangles() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        places = rng.integers((0, 0, 10, 10), (9, 9, 20, 20), (20, 4))
        found = made(*((k % 2, (x, y, x + w, y + h)) for k, (x, y, w, h) in enumerate(places.tolist())))
        kept = by_definition(found, 0.4)
        assert np.array_equal(mask_nms(found, 0.4).scores, found.scores[kept])
        assert 2 < len(kept) < len(found)
