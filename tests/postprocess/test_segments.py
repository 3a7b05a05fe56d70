"""Panoptic and semantic inference on cases worked out by hand, and against whole-array arithmetic."""

import numpy as np
import torch

from fastinst_rt.categories import Categories
from fastinst_rt.postprocess import panoptic, semantic
from fastinst_rt.postprocess.instances import enlarge_published
from fastinst_rt.preprocess import geometry
from fastinst_rt.results import Geometry

# Two things (0, 1) and one stuff class (2).
CATEGORIES = Categories(("cat", "dog", "sky"), (1, 2, 3), (True, True, False))
SHAPE = Geometry((32, 64), (32, 64), (32, 64))


def confident(*classes: int) -> torch.Tensor:
    """Class logits that are sure of the given classes; 3 is no-object."""
    logits = torch.full((len(classes), 4), -6.0)
    logits[torch.arange(len(classes)), torch.tensor(classes)] = 6.0
    return logits


def halves(*spans: tuple[int, int]) -> torch.Tensor:
    """Mask logits [Q, 4, 8], positive in the given ranges of columns."""
    masks = torch.full((len(spans), 4, 8), -8.0)
    for mask, (start, stop) in zip(masks, spans, strict=True):
        mask[:, start:stop] = 8.0
    return masks


def test_two_things_and_stuff_share_the_picture() -> None:
    result = panoptic(confident(0, 1, 2), halves((0, 2), (2, 4), (4, 8)), SHAPE, CATEGORIES)
    assert [s.class_id for s in result.segments] == [0, 1, 2]
    assert [s.is_thing for s in result.segments] == [True, True, False]
    assert result.segment_map[5, 3] == 1
    assert result.segment_map[5, 25] == 2
    assert result.segment_map[5, 60] == 3
    for segment in result.segments:
        assert segment.area == (result.segment_map == segment.id).sum()


def test_stuff_of_one_class_merges_and_things_do_not() -> None:
    result = panoptic(confident(2, 0, 2, 0), halves((0, 2), (2, 4), (4, 6), (6, 8)), SHAPE, CATEGORIES)
    assert [s.class_id for s in result.segments] == [2, 0, 0]
    assert result.segment_map[0, 0] == result.segment_map[0, 40] == 1


def test_a_query_that_loses_most_of_its_mask_is_dropped() -> None:
    logits = confident(0, 1)
    logits[1, 1] = 5.0  # less sure of itself
    result = panoptic(logits, halves((0, 6), (3, 7)), SHAPE, CATEGORIES)
    assert [s.class_id for s in result.segments] == [0]
    assert result.segment_map[0, 52] == 0


def test_no_object_and_unsure_queries_take_no_part() -> None:
    logits = torch.cat([confident(3), torch.zeros(1, 4)])
    result = panoptic(logits, halves((0, 4), (4, 8)), SHAPE, CATEGORIES)
    assert result.segments == ()
    assert not result.segment_map.any()


def test_semantic_equals_the_definition() -> None:
    generator = torch.Generator().manual_seed(0)
    shape = geometry((150, 201), 96, 160)
    logits = torch.randn(9, 4, generator=generator) * 2
    masks = torch.randn(9, shape.padded[0] // 8, shape.padded[1] // 8, generator=generator) * 3
    votes = torch.einsum("qk,qhw->khw", logits.softmax(-1)[:, :-1], enlarge_published(masks, shape).sigmoid())
    labels = semantic(logits, masks, shape)
    assert labels.shape == (150, 201)
    assert (labels == votes.argmax(0).numpy()).mean() > 0.9999  # ties of rounding


def test_panoptic_equals_the_definition_on_random_masks() -> None:
    generator = torch.Generator().manual_seed(3)
    shape = geometry((150, 201), 96, 160)
    logits = confident(0, 1, 2, 2, 1)
    coarse = torch.randn(5, 1, 3, 4, generator=generator)
    masks = (
        torch.nn.functional.interpolate(coarse, (shape.padded[0] // 8, shape.padded[1] // 8), mode="bicubic")[:, 0] * 9
    )
    result = panoptic(logits, masks, shape, CATEGORIES, overlap=0.3)
    full = enlarge_published(masks, shape).sigmoid()
    winner = (logits.softmax(-1).max(-1).values[:, None, None] * full).argmax(0)
    for query in range(5):
        own = full[query] >= 0.5
        won = (winner == query) & own
        kept = own.any() and won.sum() / own.sum() >= 0.3
        numbers = np.unique(result.segment_map[won.numpy()])
        assert (len(numbers) == 1 and numbers[0] > 0) if kept else (numbers == 0).all()
