"""Losses and matching on cases that can be worked out by hand; partial labels."""

import math

import pytest
import torch

from fastinst_rt.training.guidance import guided_attention_masks
from fastinst_rt.training.losses import class_loss, mask_losses, mask_qualities, partial_cross_entropy, proposal_loss
from fastinst_rt.training.matcher import Matcher, query_locations
from fastinst_rt.training.points import uniform_points
from fastinst_rt.training.targets import Target

NOTHING = (torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))


def half_masks(height: int = 8, width: int = 8) -> torch.Tensor:
    """Left half and right half."""
    masks = torch.zeros(2, height, width, dtype=torch.bool)
    masks[0, :, : width // 2] = True
    masks[1, :, width // 2 :] = True
    return masks


def test_locations_span_the_map_inclusively() -> None:
    places = query_locations(torch.tensor([0, 3, 11]), (3, 4))
    assert torch.equal(places, torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))


def test_location_cost_outweighs_mask_and_class() -> None:
    target = Target(torch.tensor([0, 1]), half_masks())
    logits = torch.tensor([[0.0, 9.0, 0.0], [9.0, 0.0, 0.0]])  # each query's class and mask fit the other instance
    masks = torch.where(half_masks().flip(0), 9.0, -9.0)
    places = torch.tensor([[0.2, 0.5], [0.8, 0.5]])
    queries, instances = Matcher(num_points=64).queries(logits, masks, places, target)
    assert (queries.tolist(), instances.tolist()) == ([0, 1], [0, 1])
    queries, instances = Matcher(location_cost=0.0, num_points=64).queries(logits, masks, places, target)
    assert (queries.tolist(), instances.tolist()) == ([0, 1], [1, 0])


def test_proposals_are_matched_inside_their_instance() -> None:
    target = Target(torch.tensor([1, 0]), half_masks(32, 64))
    logits = torch.zeros(3, 2, 4)
    logits[1, 1, 1] = 5.0  # class 1 most likely in the left half here
    logits[0, 0, 3] = 5.0
    logits[1, 0, 2] = 9.0  # likelier still, but outside
    cells, instances = Matcher().proposals(logits, target)
    assert dict(zip(instances.tolist(), cells.tolist(), strict=True)) == {0: 5, 1: 3}


def test_class_loss_is_the_weighted_mean() -> None:
    logits = torch.zeros(1, 2, 3)
    logits[0, 0, 1] = math.log(2.0)
    target = Target(torch.tensor([1]), half_masks()[:1])
    pairs = [(torch.tensor([0]), torch.tensor([0]))]
    loss = class_loss(logits, pairs, [target], torch.zeros(1, 2, 2), 0.1)
    assert loss.item() == pytest.approx((math.log(2.0) + 0.1 * math.log(3.0)) / 1.1)


def test_class_loss_is_least_where_a_query_is_as_sure_as_its_mask_is_good() -> None:
    target = Target(torch.tensor([1]), half_masks()[:1])
    pairs = [(torch.tensor([0]), torch.tensor([0]))]
    chances = torch.linspace(0.05, 0.95, 19)
    losses = []
    for chance in chances:
        logits = torch.tensor([[[-50.0, chance.item(), 1 - chance.item()]]])
        logits[..., 1:] = logits[..., 1:].log()
        losses.append(class_loss(logits, pairs, [target], torch.zeros(1, 1, 2), 0.1, [torch.tensor([0.4])]).item())
    assert chances[losses.index(min(losses))].item() == pytest.approx(0.4)


def test_quality_counts_the_thresholds_that_a_mask_passes() -> None:
    truth = torch.zeros(3, 64, 64, dtype=torch.bool)
    truth[:, :, :40] = True
    target = Target(torch.tensor([0, 0, 0]), truth)
    masks = torch.full((1, 4, 16, 16), -9.0)
    masks[0, 0, :, :10] = 9.0  # IoU 1
    masks[0, 2, :, :7] = 9.0  # IoU 0.7
    masks[0, 3, :, :4] = 9.0  # IoU 0.4
    pairs = [(torch.tensor([0, 2, 3]), torch.tensor([0, 1, 2]))]
    found, none = mask_qualities(masks.expand(2, -1, -1, -1), [*pairs, NOTHING], [target, target])
    assert found.tolist() == pytest.approx([1.0, 0.2 + 0.8 * 0.5, 0.2])
    assert none.tolist() == []


def test_quality_of_a_mask_of_stride_8_is_that_of_its_enlargement() -> None:
    target = Target(torch.tensor([0]), half_masks(64, 64)[:1])
    masks = torch.full((1, 1, 8, 8), -9.0)
    masks[0, 0, :, :4] = 9.0
    (found,) = mask_qualities(masks, [(torch.tensor([0]), torch.tensor([0]))], [target])
    assert found.tolist() == [1.0]


def test_mask_losses_vanish_for_a_perfect_mask() -> None:
    target = Target(torch.tensor([0, 1]), half_masks(64, 64))
    pairs = [(torch.tensor([1, 2]), torch.tensor([1, 0]))]
    right = torch.full((1, 3, 64, 64), -50.0)
    right[0, 1, :, 32:] = 50.0
    right[0, 2, :, :32] = 50.0
    cross_entropy, dice = mask_losses(right, pairs, [target], 2.0, 512, uniform_points)
    assert dice.item() < 0.05
    cross_entropy_wrong, dice_wrong = mask_losses(-right, pairs, [target], 2.0, 512, uniform_points)
    assert dice_wrong.item() > 0.9
    assert cross_entropy_wrong.item() > 20 * max(cross_entropy.item(), 1e-3)


def test_mask_losses_are_divided_by_the_number_given() -> None:
    target = Target(torch.tensor([0]), half_masks()[:1])
    pairs = [(torch.tensor([0]), torch.tensor([0]))]
    torch.manual_seed(0)
    one = mask_losses(torch.zeros(1, 1, 8, 8), pairs, [target], 1.0, 64, uniform_points)
    torch.manual_seed(0)
    four = mask_losses(torch.zeros(1, 1, 8, 8), pairs, [target], 4.0, 64, uniform_points)
    assert four[0].item() == pytest.approx(one[0].item() / 4)
    assert four[1].item() == pytest.approx(one[1].item() / 4)


def test_guidance_leaves_unmatched_and_vanished_open() -> None:
    masks = half_masks(32, 32)
    masks[1] = False
    masks[1, 1, 1] = True  # one pixel: gone at a quarter of the size
    target = Target(torch.tensor([0, 1]), masks)
    pairs = [(torch.tensor([0, 2]), torch.tensor([0, 1]))]
    blocked = guided_attention_masks(pairs, [target], 3, (8, 8))
    assert torch.equal(blocked[0, 0], ~half_masks(8, 8)[0])
    assert not blocked[0, 1].any()
    assert not blocked[0, 2].any()


class TestPartialLabels:
    """A class that is not labelled takes no part: its logit has no influence and no gradient."""

    def test_unlabelled_class_has_no_gradient(self) -> None:
        labelled = torch.tensor([[True, False, True]])
        target = Target(torch.tensor([2]), half_masks()[:1], labelled)
        logits = torch.randn(1, 4, 4, requires_grad=True)
        pairs = [(torch.tensor([1]), torch.tensor([0]))]
        class_loss(logits, pairs, [target], torch.rand(1, 4, 2), 0.1).backward()
        assert logits.grad is not None
        assert not logits.grad[..., 1].any()
        assert logits.grad[..., [0, 2, 3]].all()

    def test_an_instance_is_told_apart_from_unlabelled_classes_where_asked(self) -> None:
        labelled = torch.tensor([[True, False, True]])
        target = Target(torch.tensor([2]), half_masks()[:1], labelled)
        logits = torch.randn(1, 4, 4, requires_grad=True)
        pairs = [(torch.tensor([1]), torch.tensor([0]))]
        class_loss(logits, pairs, [target], torch.rand(1, 4, 2), 0.1, exclusive=True).backward()
        assert logits.grad is not None
        assert (logits.grad[0, :, 1] != 0).tolist() == [False, True, False, False]
        cells = torch.randn(1, 4, 2, 2, requires_grad=True)
        proposal_loss(cells, pairs, [target], exclusive=True).backward()
        assert cells.grad is not None
        assert (cells.grad[0, 1].flatten() != 0).tolist() == [False, True, False, False]

    def test_unlabelled_class_has_no_influence_on_proposals(self) -> None:
        target = Target(torch.tensor([0]), half_masks()[:1], torch.tensor([[True, False]]))
        pairs = [(torch.tensor([0]), torch.tensor([0]))]
        logits = torch.randn(1, 3, 2, 2)
        changed = logits.clone()
        changed[:, 1] += 7.0
        assert proposal_loss(logits, pairs, [target]) == proposal_loss(changed, pairs, [target])

    def test_fully_labelled_picture_beside_a_partial_one(self) -> None:
        partial = Target(torch.tensor([0]), half_masks()[:1], torch.tensor([[True, False]]))
        full = Target(torch.tensor([1]), half_masks()[:1])
        logits = torch.randn(2, 3, 3, requires_grad=True)
        pairs = [(torch.tensor([0]), torch.tensor([0]))] * 2
        class_loss(logits, pairs, [partial, full], torch.rand(2, 3, 2), 0.1).backward()
        assert logits.grad is not None
        assert not logits.grad[0, :, 1].any()
        assert logits.grad[1].all()

    def test_regions_are_read_where_the_query_sits(self) -> None:
        regions = torch.zeros(8, 8, dtype=torch.uint8)
        regions[:, 4:] = 1
        target = Target(NOTHING[0], torch.zeros(0, 8, 8).bool(), torch.tensor([[True, True], [True, False]]), regions)
        logits = torch.randn(1, 2, 3, requires_grad=True)
        class_loss(logits, [NOTHING], [target], torch.tensor([[[0.1, 0.5], [0.9, 0.5]]]), 0.1).backward()
        assert logits.grad is not None
        assert (logits.grad[0] != 0).tolist() == [[True, True, True], [True, False, True]]

    def test_nothing_labelled_counts_nothing(self) -> None:
        logits = torch.randn(3, 3)
        labelled = torch.tensor([[True, True], [False, False], [False, False]])
        wanted = torch.tensor([2, 2, 1])
        loss = partial_cross_entropy(logits, wanted, labelled, torch.ones(3))
        alone = logits[0].logsumexp(0) - logits[0, 2]
        pasted = logits[2, 1:].logsumexp(0) - logits[2, 1]  # the class of an instance always exists
        assert loss.item() == pytest.approx(((alone + pasted) / 2).item(), rel=1e-5)

    def test_all_ignored_is_zero(self) -> None:
        labelled = torch.zeros(2, 4, dtype=torch.bool)
        loss = partial_cross_entropy(torch.randn(2, 5), torch.tensor([4, 4]), labelled, torch.ones(2))
        assert loss.item() == 0.0
