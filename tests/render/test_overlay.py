"""The overlay: right pixels, right colours, nothing else touched."""

from collections.abc import Callable

import numpy as np
import pytest

from fastinst_rt.categories import COCO
from fastinst_rt.render.overlay import Layers, Overlay, line_width, text_size
from fastinst_rt.render.palette import PALETTE
from fastinst_rt.results import Instances, MaskCrop

Discs = Callable[..., Instances]

FILL = Overlay(Layers(masks=True, boxes=False, labels=False), opacity=0.5)


def grey(size: tuple[int, int] = (240, 320)) -> np.ndarray:
    return np.full((*size, 3), 100, np.uint8)


def test_inside_of_a_mask_is_blended_with_its_colour_and_the_rest_is_untouched(discs: Discs) -> None:
    instances = discs([2], centres=[(100, 120)])
    drawn = FILL.draw(grey(), instances)
    assert np.allclose(drawn[120, 100], (100 + PALETTE[2].astype(int)) / 2, atol=1)
    outside = np.ones((240, 320), bool)
    outside[120 - 33 : 120 + 34, 100 - 33 : 100 + 34] = False
    assert (drawn[outside] == 100).all()


def test_best_score_wins_where_masks_overlap(discs: Discs) -> None:
    instances = discs([0, 1], centres=[(100, 120), (120, 120)])
    drawn = FILL.draw(grey(), instances)
    assert np.allclose(drawn[120, 105], (100 + PALETTE[0].astype(int)) / 2, atol=1)
    assert np.allclose(drawn[120, 140], (100 + PALETTE[1].astype(int)) / 2, atol=1)


def test_blend_agrees_with_the_label_map_however_many_instances() -> None:
    """More instances than an 8-bit label map holds are drawn in several passes."""
    rng = np.random.default_rng(1)
    count, size = 300, (120, 160)
    crops = tuple(
        MaskCrop(int(x), int(y), np.ones((9, 9), bool))
        for x, y in zip(rng.integers(0, 150, count), rng.integers(0, 110, count), strict=True)
    )
    boxes = np.array([(c.left, c.top, c.left + 9, c.top + 9) for c in crops], np.float32)
    instances = Instances(
        size, np.linspace(1, 0.5, count).astype(np.float32), rng.integers(0, 80, count), boxes, crops, COCO
    )
    import fastinst_rt.render.overlay as overlay

    drawn = grey(size)
    paint = PALETTE[instances.class_ids % len(PALETTE)]
    for first in (255, 0):
        overlay._fill(drawn, instances, paint, slice(first, min(first + 255, count)), 1.0)
    labels = instances.label_map()
    expected = np.where(labels[..., None] > 0, paint[np.maximum(labels, 1) - 1], 100)
    assert (drawn == expected).all()
    assert FILL.draw(grey(size), instances).shape == (*size, 3)


def test_contour_is_opaque_and_on_the_rim(discs: Discs) -> None:
    drawn = FILL.draw(grey(), discs([0], centres=[(100, 120)], radius=40))
    rim = drawn[120, 100 + 38 : 100 + 43]
    assert (np.abs(rim.astype(int) - PALETTE[0]).sum(axis=1) < 60).any()


def test_the_frame_is_left_alone_unless_asked(discs: Discs) -> None:
    image = grey()
    drawn = Overlay().draw(image, discs([0, 2]))
    assert (image == 100).all()
    assert drawn is not image
    assert Overlay().draw(image, discs([0, 2]), in_place=True) is image
    assert (image == drawn).all()


def test_nothing_found_gives_the_picture_back() -> None:
    assert (Overlay().draw(grey(), Instances.empty((240, 320), COCO)) == 100).all()


def test_layers_are_independent(discs: Discs) -> None:
    instances = discs([0], centres=[(160, 120)])
    boxes = Overlay(Layers(masks=False, boxes=True, labels=False)).draw(grey(), instances)
    labels = Overlay(Layers(masks=False, boxes=False, labels=True)).draw(grey(), instances)
    nothing = Overlay(Layers(False, False, False)).draw(grey(), instances)
    assert boxes[120, 160].tolist() == [100, 100, 100]
    assert boxes[90, 160].tolist() == PALETTE[0].tolist()
    assert (labels[:90] != 100).any()
    assert (labels[95:] == 100).all()
    assert (nothing == 100).all()


def test_labels_stay_in_the_picture_and_off_each_other(discs: Discs) -> None:
    corner = discs([0], centres=[(8, 8)], radius=6)
    drawn = Overlay(Layers(masks=False, boxes=False, labels=True)).draw(grey(), corner)
    assert (drawn[:40, :150] != 100).any()
    twins = discs([3, 3], centres=[(100, 120), (104, 120)])
    changed = Overlay(Layers(masks=False, boxes=False, labels=True)).draw(grey(), twins)
    one = Overlay(Layers(masks=False, boxes=False, labels=True)).draw(grey(), twins.select([0]))
    assert (changed != 100).any(axis=2).sum() > 1.8 * (one != 100).any(axis=2).sum()


def test_frames_smaller_than_a_label_and_empty_masks_are_drawn() -> None:
    tiny = Instances(
        (6, 5), np.array([0.9, 0.8], np.float32), np.array([0, 1]), np.array([[0, 0, 5, 6], [0, 0, 0, 0]], np.float32),
        (MaskCrop(0, 0, np.ones((6, 5), bool)), MaskCrop(0, 0, np.zeros((0, 0), bool))), COCO,
    )  # fmt: skip
    assert Overlay(Layers(boxes=True)).draw(grey((6, 5)), tiny).shape == (6, 5, 3)


def test_sizes_follow_the_resolution() -> None:
    assert [line_width((h, h * 2)) for h in (272, 720, 1080, 2160)] == [1, 2, 2, 4]
    assert [text_size((h, h * 2)) for h in (272, 720, 1080, 2160)] == [11, 16, 24, 48]


def test_sizes_must_agree(discs: Discs) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        Overlay().draw(grey((100, 100)), discs([0]))
