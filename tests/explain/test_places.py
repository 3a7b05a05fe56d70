"""Query places: the network's own, both ways, and what lies under them."""

import numpy as np
import pytest
import torch

from fastinst_rt.errors import UsageError
from fastinst_rt.explain.observation import observe
from fastinst_rt.explain.places import STRIDE, QueryPlaces, covered, query_places
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.zoo import create_model
from fastinst_rt.postprocess.instances import MAX_PAIRS
from fastinst_rt.postprocess.nms import mask_nms
from fastinst_rt.results import Geometry


def test_the_places_are_those_that_the_network_picked(net: FastInst, image: np.ndarray) -> None:
    seen = observe(net, image)
    places = query_places(seen, net.spec.num_queries)
    width = seen.trace.proposal_logits.shape[-1]
    flat = places.cells[:, 0] * width + places.cells[:, 1]
    assert flat.tolist() == seen.trace.proposal_indices[0].tolist()
    assert seen.geometry.padded == (seen.trace.proposal_logits.shape[2] * STRIDE, width * STRIDE)


def test_by_score_alone_takes_the_best_scores(net: FastInst, image: np.ndarray) -> None:
    seen = observe(net, image)
    plain = query_places(seen, 10, local_maximum_first=False)
    probabilities = seen.trace.proposal_logits.softmax(1)[0, :-1].amax(0).flatten()
    assert np.allclose(plain.scores, probabilities.topk(10).values)
    first = query_places(seen, 10)
    assert first.is_peak.sum() >= plain.is_peak.sum()
    assert first.scores.sum() <= plain.scores.sum() + 1e-6


def test_local_maxima_come_before_all_others(net: FastInst, image: np.ndarray) -> None:
    places = query_places(observe(net, image), 10**6)
    assert len(places) == np.prod(observe(net, image).trace.proposal_logits.shape[2:])
    peaks = int(places.is_peak.sum())
    assert 0 < peaks < len(places)
    assert places.is_peak[:peaks].all()


def test_learnable_queries_have_no_places(image: np.ndarray) -> None:
    net = create_model("fastinst-nano", activation_guided_queries=False)
    with pytest.raises(UsageError, match="learnable"):
        query_places(observe(net, image), 10)


def places_at(*cells: tuple[int, int]) -> QueryPlaces:
    n = len(cells)
    return QueryPlaces(np.array(cells), np.ones(n, np.float32), np.zeros(n, np.int64), np.ones(n, np.bool_))


def test_an_instance_is_covered_if_a_cells_centre_lies_inside() -> None:
    shape = Geometry((50, 100), (100, 200), (128, 224))  # twice enlarged, then padded
    masks = np.zeros((3, 50, 100), np.bool_)
    masks[0, 10:16, 40:46] = True  # input pixels 20..32, 80..92
    masks[1, 0:4, 0:4] = True  # input pixels 0..8: the cell's centre at 8 is just outside
    masks[2] = True
    assert covered(places_at((1, 5)), masks, shape).tolist() == [True, False, True]  # centre at (24, 88)
    assert covered(places_at((0, 0)), masks, shape).tolist() == [False, False, True]
    assert covered(places_at((7, 13)), masks, shape).tolist() == [False, False, False]  # in the padding
    assert covered(places_at((1, 5)), masks[:0], shape).tolist() == []


def test_places_are_centres_of_cells() -> None:
    assert places_at((1, 5)).xy.tolist() == [[88.0, 24.0]]


def test_observing_is_the_forward_pass_of_the_network(net: FastInst, image: np.ndarray) -> None:
    seen = observe(net, image, attention=True)
    assert not seen.trace.predictions[-1][0].requires_grad
    assert len(observe(net, image).trace.head_attention) == 0
    plain = observe(net, image)
    assert torch.allclose(plain.trace.predictions[-1][1], seen.trace.predictions[-1][1], atol=1e-4)


def test_what_is_seen_is_what_the_product_gives(image: np.ndarray) -> None:
    net = create_model("fastinst-nano")  # random weights: its queries hardly differ, so their masks lie on each other
    assert net.spec.nms_iou is not None
    seen = observe(net, image, score=0.0).instances
    assert 0 < len(seen) < MAX_PAIRS
    assert len(mask_nms(seen, net.spec.nms_iou)) == len(seen)
