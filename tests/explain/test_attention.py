"""Attention maps are distributions, and blocked pixels get nothing."""

import numpy as np
import pytest

from fastinst_rt.errors import UsageError
from fastinst_rt.explain.attention import attention_figure, attention_maps, auxiliary_queries
from fastinst_rt.explain.observation import Observation, observe
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.zoo import create_model


@pytest.fixture(scope="module")
def seen(net: FastInst, image: np.ndarray) -> Observation:
    return observe(net, image, attention=True)


def test_each_head_of_each_query_is_a_distribution(seen: Observation, net: FastInst) -> None:
    weights = attention_maps(seen)
    assert weights.shape[:2] == (net.spec.heads, net.spec.num_queries + net.spec.num_auxiliary_queries)
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum((2, 3)), 1, atol=1e-5)


def test_blocked_pixels_get_nothing(seen: Observation, net: FastInst) -> None:
    weights = attention_maps(seen, 0)[:, : net.spec.num_queries]
    masks = seen.trace.predictions[0][1][0].numpy()
    some = (masks >= 0).any((1, 2))
    blocked = np.broadcast_to((masks < 0) & some[:, None, None], weights.shape)
    assert (weights[blocked] == 0).all()
    assert (weights[:, ~some] > 0).all()  # a query with every pixel blocked attends everywhere


def test_auxiliary_queries_are_never_blocked(seen: Observation, net: FastInst) -> None:
    auxiliary = auxiliary_queries(seen)
    assert len(auxiliary) == net.spec.num_auxiliary_queries
    assert (attention_maps(seen)[:, auxiliary] > 0).all()


def test_the_figure_shows_auxiliary_queries_or_those_named(seen: Observation, net: FastInst) -> None:
    figure, arrays = attention_figure(seen)
    assert arrays["queries"].tolist() == auxiliary_queries(seen)
    assert len([a for a in figure.axes if a.images]) == net.spec.num_auxiliary_queries
    figure, arrays = attention_figure(seen, queries=[0, 3], per_head=True)
    assert arrays["weights"].shape[:2] == (net.spec.heads, 2)
    assert len([a for a in figure.axes if a.images]) == 2 * (net.spec.heads + 1)


def test_what_does_not_exist_is_refused(seen: Observation, image: np.ndarray) -> None:
    with pytest.raises(UsageError, match="not a layer 7"):
        attention_figure(seen, layer=7)
    with pytest.raises(UsageError, match="not a query 999"):
        attention_figure(seen, queries=[999])
    bare = create_model("fastinst-nano", learnable_positions_and_auxiliary=False)
    with pytest.raises(UsageError, match="no auxiliary"):
        attention_figure(observe(bare, image, attention=True))
