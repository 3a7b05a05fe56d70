"""The training step of the published code: losses, matchings in call order, gradients."""

from pathlib import Path

import pytest
import torch

from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.weights.official import ours_to_published
from tests.training.oracle_training import published_net, read_case, step

CONFIG = "fastinst_R50_ppm-fpn_x1_576"


@pytest.fixture(scope="module")
def net(oracle: Path, tmp_path_factory: pytest.TempPathFactory) -> FastInst:
    return published_net(oracle, CONFIG, "fastinst-d1-r50", tmp_path_factory.mktemp("published"))


@pytest.mark.slow
def test_step_equals_the_published_one(net: FastInst, oracle: Path) -> None:
    case = read_case(oracle, CONFIG, "m35")
    net.zero_grad(set_to_none=True)
    losses = step(net, case.images, case.targets)

    got = {name: value.item() for name, value in losses.unweighted.items()}
    assert got == pytest.approx(case.facts["unweighted"], rel=1e-4)
    got = {name: value.item() for name, value in losses.weighted.items()}
    assert got == pytest.approx(case.facts["weighted"], rel=1e-4)

    kinds = {"queries": "pred", "proposals": "proposal"}
    matchings = [(kinds[kind], [[q.tolist(), i.tolist()] for q, i in pairs]) for kind, pairs in losses.matchings]
    assert matchings == [(call["kind"], call["indices"]) for call in case.facts["matcher_calls"]]

    norms = {ours_to_published(n, "r50"): p.grad.norm().item() for n, p in net.named_parameters() if p.grad is not None}
    assert norms == pytest.approx(case.facts["grad_norm"], rel=1e-3)


def test_step_without_any_instance_is_finite(net: FastInst, oracle: Path) -> None:
    case = read_case(oracle, CONFIG, "m00")
    net.zero_grad(set_to_none=True)
    losses = step(net, case.images[:, :, :96, :128], [_cropped(t, 96, 128) for t in case.targets])

    assert all(len(queries) == 0 for _, pairs in losses.matchings for queries, _ in pairs)
    for name, value in losses.unweighted.items():
        expected = case.facts["unweighted"][name]
        assert torch.isfinite(value), name
        assert (value.item() == 0) == (expected == 0), name
    gradients = {n: p.grad for n, p in net.named_parameters() if p.requires_grad}
    assert all(g is not None and torch.isfinite(g).all() for g in gradients.values())


def _cropped(target, height, width):  # type: ignore[no-untyped-def]
    return type(target)(target.class_ids, target.masks[:, :height, :width])
