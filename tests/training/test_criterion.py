"""The objective as a whole: which outputs are judged, in which order, with which points."""

import pytest
import torch
from torch import Tensor

from fastinst_rt.categories import Categories
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.zoo import create_model
from fastinst_rt.training.criterion import Criterion, Losses
from fastinst_rt.training.matcher import Matcher
from fastinst_rt.training.targets import Target
from tests.training.tiny import tiny_net

SIZE = (64, 96)


def target(classes: list[int]) -> Target:
    """Boxes side by side; the last 32 columns are padding."""
    masks = torch.zeros(len(classes), *SIZE, dtype=torch.bool)
    for i in range(len(classes)):
        masks[i, 8:40, 4 + 20 * i : 20 + 20 * i] = True
    return Target(torch.tensor(classes, dtype=torch.int64), masks)


def judge(net: FastInst, targets: list[Target], **settings: bool) -> tuple[Losses, list[tuple[int, ...]]]:
    """Losses of random pictures padded with zeros, and the shapes of the random points in call order."""
    shapes: list[tuple[int, ...]] = []

    def random(shape: tuple[int, ...], device: torch.device) -> Tensor:
        shapes.append(shape)
        return torch.rand(shape, device=device)

    torch.manual_seed(0)
    normalized = net.normalize(torch.rand(len(targets), 3, *SIZE) * 255)
    normalized[:, :, :, 64:] = 0
    trace = net.trace(normalized=normalized)
    criterion = Criterion(Matcher(num_points=100, random=random), num_points=100, **settings)
    losses = criterion(net.guided_predictions, trace, targets)
    losses.total.backward()
    return losses, shapes


@pytest.fixture
def deep() -> FastInst:
    torch.manual_seed(1)
    return tiny_net(Categories.numbered(4), width=32, layers=3)


def test_depth_three_with_an_empty_picture(deep: FastInst) -> None:
    losses, shapes = judge(deep, [target([0, 3, 1]), target([])])
    suffixes = ["", "_0", "_1", "_2", "_3", "_4", "_5"]  # last layer, three guided layers, three heads before the last
    kinds = ("loss_ce", "loss_mask", "loss_dice")
    assert set(losses.unweighted) == {k + s for k in kinds for s in suffixes} | {"loss_proposal"}
    matcher, loss = [(1, 100, 2)] * 2, [(3, 300, 2), (3, 25, 2)]
    assert shapes == matcher + matcher + loss + loss * 3 + (matcher + loss) * 3
    assert [kind for kind, _ in losses.matchings] == ["queries", "proposals", *["queries"] * 4]
    for _, pairs in losses.matchings:
        assert sorted(pairs[0][1].tolist()) == [0, 1, 2]
        assert len(pairs[1][0]) == 0
    assert torch.isfinite(losses.total)


def test_every_learning_parameter_gets_a_gradient(deep: FastInst) -> None:
    judge(deep, [target([2]), target([1, 1])])
    missing = [name for name, p in deep.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []


def test_without_guidance_the_guided_layers_are_not_judged(deep: FastInst) -> None:
    losses, _ = judge(deep, [target([0])], gt_mask_guidance=False)
    assert "loss_ce_2" in losses.unweighted
    assert "loss_ce_3" not in losses.unweighted
    assert len(losses.matchings) == 5


def test_learnable_queries_have_no_proposals_and_no_places() -> None:
    torch.manual_seed(0)
    switches = {"decoder_layers": 1, "num_queries": 9, "activation_guided_queries": False}
    net = create_model("fastinst-nano", num_classes=4, **switches).train()
    losses, _ = judge(net, [target([0, 1])])
    assert "loss_proposal" not in losses.unweighted
    assert [kind for kind, _ in losses.matchings] == ["queries"] * 3
