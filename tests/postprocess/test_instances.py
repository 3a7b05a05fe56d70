"""Instance inference: the fast path against the published order of operations."""

import time
import tracemalloc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fastinst_rt.categories import COCO, Categories
from fastinst_rt.postprocess import instances
from fastinst_rt.postprocess.instances import enlarge_published
from fastinst_rt.preprocess import geometry
from fastinst_rt.results import Geometry, Instances

SHAPES = [
    geometry((480, 640), 640, 853),
    geometry((333, 500), 576, 777),
    geometry((1080, 1920), 576, 777),
    geometry((97, 31), 640, 853),
    geometry((30, 2000), 576, 777),
    geometry((1, 1), 576, 777),
]


def smooth_masks(shape: Geometry, count: int, seed: int = 0) -> Tensor:
    """Mask logits of blobs of several sizes, about a third of each positive."""
    generator = torch.Generator().manual_seed(seed)
    h, w = shape.padded[0] // 8, shape.padded[1] // 8
    masks = []
    for i in range(count):
        coarse = torch.randn(1, 1, max(2, h // (2 + i % 7)), max(2, w // (2 + i % 7)), generator=generator)
        masks.append(F.interpolate(coarse, (h, w), mode="bicubic")[0, 0] * 4 - 1)
    return torch.stack(masks)


def random_logits(count: int, classes: int = 80, seed: int = 1) -> Tensor:
    return torch.randn(count, classes + 1, generator=torch.Generator().manual_seed(seed)) * 3


def iou(a: np.ndarray, b: np.ndarray) -> float:
    union = np.logical_or(a, b).sum()
    return 1.0 if union == 0 else float(np.logical_and(a, b).sum() / union)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: "x".join(map(str, s.frame)))
@pytest.mark.parametrize(("score", "count"), [(0.3, 100), (0.0, 10)])
def test_fast_equals_exact(shape: Geometry, score: float, count: int) -> None:
    logits, masks = random_logits(30), smooth_masks(shape, 30)
    fast = instances(logits, masks, shape, COCO, score=score, max_instances=count)
    exact = instances(logits, masks, shape, COCO, score=score, max_instances=count, exact=True)
    assert len(fast) == len(exact)
    np.testing.assert_allclose(fast.scores, exact.scores, atol=2e-3)
    agreement = [
        max(iou(a, b) for b, other in zip(exact.masks, exact.class_ids, strict=True) if other == class_id)
        for a, class_id in zip(fast.masks, fast.class_ids, strict=True)
    ]
    assert np.mean(agreement or [1.0]) >= 0.99


def test_exact_is_the_published_arithmetic() -> None:
    shape = geometry((60, 90), 64, 128)
    logits, masks = random_logits(5, 3), smooth_masks(shape, 5)
    categories = Categories.numbered(3)
    found = instances(logits, masks, shape, categories, score=0.0, exact=True)
    probability = logits.softmax(-1)[:, :-1]
    full = enlarge_published(masks, shape)
    expected = []
    for query in range(5):
        inside = full[query] > 0
        quality = (full[query].sigmoid() * inside).sum() / (inside.sum() + 1e-6)
        expected += [float(probability[query, k] * quality) for k in range(3)]
    np.testing.assert_allclose(found.scores, sorted(expected, reverse=True), rtol=1e-5)


def test_boxes_are_tight_and_real() -> None:
    shape = SHAPES[0]
    found = instances(random_logits(20), smooth_masks(shape, 20), shape, COCO, score=0.2)
    assert len(found) > 3
    for mask, (x1, y1, x2, y2) in zip(found.masks, found.boxes.astype(int), strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert (x1, y1, x2, y2) == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def test_threshold_classes_and_count() -> None:
    shape, logits = SHAPES[0], random_logits(20)
    masks = smooth_masks(shape, 20)
    every = instances(logits, masks, shape, COCO, score=0.1)
    some = every.class_ids[0]
    assert (every.scores >= 0.1).all()
    assert (np.diff(every.scores) <= 0).all()
    only = instances(logits, masks, shape, COCO, score=0.0, classes=[int(some)])
    assert set(only.class_ids) == {some}
    best = instances(logits, masks, shape, COCO, score=0.0, max_instances=3)
    np.testing.assert_allclose(best.scores, every.scores[:3], atol=1e-3)
    assert len(instances(logits, masks, shape, COCO, score=0.0, classes=[])) == 0


def test_a_query_may_be_two_instances() -> None:
    shape = SHAPES[1]
    logits = torch.full((1, 81), -9.0)
    logits[0, [3, 7]] = 5.0
    found = instances(logits, smooth_masks(shape, 1), shape, COCO, score=0.2)
    assert sorted(found.class_ids) == [3, 7]
    assert found.crops[0] is found.crops[1]  # enlarged once


@pytest.mark.parametrize("exact", [False, True])
def test_nothing_positive(exact: bool) -> None:
    shape = SHAPES[0]
    masks = torch.full((4, shape.padded[0] // 8, shape.padded[1] // 8), -3.0)
    assert len(instances(random_logits(4), masks, shape, COCO, exact=exact)) == 0


def test_mask_in_the_padding_only() -> None:
    shape = geometry((1080, 1920), 576, 777)  # rows 437..448 of the input are padding
    masks = torch.full((1, 56, 100), -30.0)
    masks[0, 55] = 0.5
    logits = torch.full((1, 81), -9.0)
    logits[0, 0] = 9.0
    assert len(instances(logits, masks, shape, COCO)) == 0


def test_half_precision_logits_are_taken() -> None:
    shape = SHAPES[0]
    found: Instances = instances(random_logits(5).half(), smooth_masks(shape, 5).half(), shape, COCO, score=0.1)
    assert found.scores.dtype == np.float32


@pytest.mark.slow
def test_fast_path_needs_a_fraction_of_time_and_memory() -> None:
    """100 queries, ten kept, 1080p: about 90 times quicker on two idle cores; the bound leaves room for noise."""
    shape = geometry((1080, 1920), 576, 777)
    masks, logits = smooth_masks(shape, 100), torch.full((100, 81), -4.0)
    logits[:, -1] = 4.0
    logits[::10, 5] = 8.0
    durations: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(3):
        for exact, taken in durations.items():
            start = time.perf_counter()
            found = instances(logits, masks, shape, COCO, exact=exact)
            taken.append(time.perf_counter() - start)
            assert len(found) == 10
    assert np.median(durations[True]) / np.median(durations[False]) >= 15

    tracemalloc.start()
    instances(logits, masks, shape, COCO)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    published = 100 * 1080 * 1920 * 4  # the mask logits alone
    assert peak < published / 10
