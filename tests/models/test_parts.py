"""The parts by themselves, against definitions written out in the plainest way."""

from math import cos, exp, pi, sin, tanh

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastinst_rt.models.attention import Attention, may_attend, may_attend_by_masks
from fastinst_rt.models.decoder import PredictionHead
from fastinst_rt.models.deform_conv import DeformConv2d
from fastinst_rt.models.fine_masks import FineMasks
from fastinst_rt.models.layers import AtLeastFloat32, FrozenBatchNorm2d
from fastinst_rt.models.positions import RelativeMasks, SinePositions, offsets_from
from fastinst_rt.models.queries import ActivationGuidedQueries, proposal_ranks


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def bilinear(plane: Tensor, y: float, x: float) -> float:
    """The value of a map [H,W] at (y, x), zero outside."""
    height, width = plane.shape
    top, left = int(torch.floor(torch.tensor(y))), int(torch.floor(torch.tensor(x)))
    value = 0.0
    for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= row < height and 0 <= column < width:
            value += float(plane[row, column]) * (1 - abs(y - row)) * (1 - abs(x - column))
    return value


@pytest.mark.parametrize("stride", [1, 2])
@torch.inference_mode()
def test_deformable_convolution_equals_its_definition(stride: int) -> None:
    conv = DeformConv2d(3, 4, stride).double()
    conv.weight.copy_(torch.randn(conv.weight.shape, generator=generator()))
    conv.offset.weight.copy_(0.5 * torch.randn(conv.offset.weight.shape, generator=generator()))
    assert conv.offset.bias is not None
    conv.offset.bias.copy_(2 * torch.randn(18, generator=generator()))  # far enough to leave the map
    x = torch.randn(2, 3, 6, 8, generator=generator()).double()
    out, offset = conv(x), conv.offset(x)
    assert out.shape == (2, 4, 6 // stride, 8 // stride)
    for batch, row, column in ((0, 0, 0), (0, 1, 3), (1, 2, 1), (1, out.shape[2] - 1, out.shape[3] - 1)):
        expected = torch.zeros(4).double()
        for tap in range(9):
            dy, dx = (float(offset[batch, 2 * tap + axis, row, column]) for axis in (0, 1))
            y, x_ = row * stride + tap // 3 - 1 + dy, column * stride + tap % 3 - 1 + dx
            for channel in range(3):
                value = bilinear(x[batch, channel], y, x_)
                expected += conv.weight[:, channel, tap // 3, tap % 3] * value
        assert (out[batch, :, row, column] - expected).abs().max() < 1e-10


def test_deformable_convolution_starts_as_a_plain_one() -> None:
    conv = DeformConv2d(3, 4, 2).double()
    x = torch.randn(1, 3, 8, 8, generator=generator()).double()
    assert torch.allclose(conv(x), F.conv2d(x, conv.weight, stride=2, padding=1))


def test_frozen_batch_norm_is_batch_norm_in_eval_mode() -> None:
    ours, theirs = FrozenBatchNorm2d(5), nn.BatchNorm2d(5)
    for name in ("weight", "bias", "running_mean", "running_var"):
        value = torch.rand(5, generator=generator()) + 0.5
        getattr(ours, name).data.copy_(value)
        getattr(theirs, name).data.copy_(value)
    x = torch.randn(2, 5, 4, 4, generator=generator())
    assert torch.allclose(ours.train()(x), theirs.eval()(x))
    assert list(ours.parameters()) == []


@pytest.mark.parametrize("masked", [False, True])
@torch.inference_mode()
def test_attention_equals_the_one_of_torch(masked: bool) -> None:
    ours, theirs = Attention(32, 4), nn.MultiheadAttention(32, 4, batch_first=True).eval()
    theirs.load_state_dict(ours.state_dict())
    q, k, v = (torch.randn(2, n, 32, generator=generator()) for n in (5, 9, 9))
    allowed = torch.rand(2, 5, 9, generator=generator()) > 0.5
    allowed[:, :, 0] = True
    blocked = (~allowed).repeat_interleave(4, 0) if masked else None
    expected, weights = theirs(q, k, v, attn_mask=blocked, average_attn_weights=False)
    fused, none = ours(q, k, v, allowed if masked else None)
    explicit, ours_weights = ours(q, k, v, allowed if masked else None, weights=True)
    assert none is None
    assert torch.allclose(fused, expected, atol=1e-6)
    assert torch.allclose(explicit, expected, atol=1e-6)
    assert torch.allclose(ours_weights, weights, atol=1e-6)


def test_masked_attention_blocks_where_the_logit_is_negative() -> None:
    masks = torch.tensor([[[1.0, -1.0, 0.0], [-1.0, -2.0, -3.0], [-1.0, -1.0, 2.0]]])
    expected = torch.tensor([[[1, 0, 1], [1, 1, 1], [0, 0, 1], [1, 1, 1], [1, 1, 1]]]).bool()
    assert torch.equal(may_attend_by_masks(masks, 2), expected)
    assert torch.equal(may_attend(masks < 0, 2), expected)
    assert torch.equal(may_attend_by_masks(masks), expected[:, :3])


def test_local_maxima_come_first_and_compete_within_their_class_only() -> None:
    probabilities = torch.zeros(1, 2, 3, 4)
    probabilities[0, 0, 1, 1] = 0.9  # a maximum
    probabilities[0, 0, 1, 2] = 0.8  # beside a better one of its class
    probabilities[0, 1, 2, 1] = 0.2  # a maximum of the other class, beside both
    probabilities[0, 0, 2, 1] = 0.1  # not the best class of that pixel: must not count
    probabilities[0, 0, 0, 3] = 0.8  # beside (1, 2), equal to it, and no better one: a maximum
    probabilities[0, 1, 0, 0] = 1e-7  # too little for a maximum
    ranks = proposal_ranks(probabilities)[0]
    expected = torch.zeros(3, 4)
    less = 2**-20
    expected[1, 1], expected[1, 2], expected[2, 1], expected[0, 3] = 0.9, 0.8 * less, 0.2, 0.8
    expected[0, 0] = 1e-7 * less
    assert torch.equal(ranks, expected)
    plain = proposal_ranks(probabilities, local_maximum_first=False)[0]
    assert torch.equal(plain, probabilities[0].amax(0))


def test_faint_local_maxima_keep_their_order_and_stay_before_all_others() -> None:
    # 1 + p, as published, is the same float32 for both maxima
    faint, fainter = 2.00e-6, 1.98e-6
    probabilities = torch.zeros(1, 2, 1, 5)
    probabilities[0, 0, 0, :] = torch.tensor([1.0, 0.9999, 0.0, 0.0, fainter])
    probabilities[0, 1, 0, 2] = faint
    order = proposal_ranks(probabilities).flatten().argsort(descending=True)
    assert order.tolist() == [0, 2, 4, 1, 3]


@torch.inference_mode()
def test_queries_are_the_features_and_positions_at_the_proposals() -> None:
    module = ActivationGuidedQueries(16, 7, 5)
    e4 = torch.randn(2, 16, 4, 6, generator=generator())
    position = torch.randn(1, 16, 4, 6, generator=generator())
    queries = module(e4, position)
    assert queries.proposal_logits is not None
    assert queries.proposal_logits.shape == (2, 8, 4, 6)
    assert queries.proposal_indices is not None
    ranks = proposal_ranks(queries.proposal_logits.softmax(1)[:, :-1]).flatten(1)
    for batch in range(2):
        picked = queries.proposal_indices[batch].tolist()
        assert len(set(picked)) == 5
        assert [float(ranks[batch, i]) for i in picked] == sorted(ranks[batch].tolist(), reverse=True)[:5]
        for query, index in enumerate(picked):
            assert torch.equal(queries.features[batch, query], e4[batch, :, index // 6, index % 6])
            assert torch.equal(queries.positions[batch, query], position[0, :, index // 6, index % 6])


def test_head_takes_the_product_in_another_order_but_gets_the_same() -> None:
    head = PredictionHead(16, 3).double()
    queries = torch.randn(2, 5, 16, generator=generator()).double()
    pixels = torch.randn(2, 7, 16, generator=generator()).double()
    direct = head.masks(head.norm(queries)) @ head.pixels(pixels).transpose(1, 2)
    assert (head.mask_logits(queries, pixels) - direct).abs().max() < 1e-12


def test_sine_positions_follow_the_formula() -> None:
    embedding = SinePositions(16)(torch.zeros(2, 16, 3, 5, dtype=torch.float64))
    assert embedding.shape == (1, 16, 3, 5)
    for y, x in ((0, 0), (1, 4), (2, 2)):
        for axis, (place, length) in enumerate(((y, 3), (x, 5))):
            relative = (place + 1) / (length + 1e-6) * 2 * pi
            for pair in range(4):
                angle = relative / 10000 ** (2 * pair / 8)
                assert float(embedding[0, 8 * axis + 2 * pair, y, x]) == pytest.approx(sin(angle), abs=1e-9)
                assert float(embedding[0, 8 * axis + 2 * pair + 1, y, x]) == pytest.approx(cos(angle), abs=1e-9)


@torch.inference_mode()
def test_a_window_depends_on_the_distance_from_the_querys_place() -> None:
    module = RelativeMasks(4).double()
    queries = torch.randn(1, 2, 4, generator=generator()).double()
    indices = torch.tensor([[0, 5]])  # on a map of 2 x 3: (0, 0) and (1, 2)
    offsets = offsets_from(indices, (2, 3), (4, 6), torch.float64)
    assert not module(queries, offsets).any()
    nn.init.normal_(module.weights.weight, generator=generator())
    window = module(queries, offsets)
    assert window.shape == (1, 2, 4, 6)
    reaches = (2.0, 4.0, 8.0, 16.0)
    for query, (row, column) in enumerate(((0.5, 0.5), (2.5, 4.5))):
        weights = module.weights(queries)[0, query].tolist()
        for y, x in ((0, 0), (1, 4), (3, 5)):
            down, right = y - row, x - column
            expected = 0.0
            for weight, distance in zip((weights[:6], weights[6:12]), (down, right), strict=True):
                functions = [exp(-((distance / r) ** 2) / 2) for r in reaches] + [tanh(distance / r) for r in (8, 16)]
                expected += sum(w * f for w, f in zip(weight, functions, strict=True))
            for weight, reach in zip(weights[12:], reaches, strict=True):
                expected += weight * exp(-(down**2 + right**2) / reach**2 / 2)
            assert float(window[0, query, y, x]) == pytest.approx(expected, abs=1e-6)


def test_float32_islands_widen_but_never_narrow() -> None:
    class Island(AtLeastFloat32):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(2, 2)
            self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    net = nn.Sequential(Island(), nn.Linear(2, 2))
    assert [p.dtype for p in net.bfloat16().parameters()] == [torch.float32] * 2 + [torch.bfloat16] * 2
    assert {p.dtype for p in net.double().parameters()} == {torch.float64}
    assert {p.dtype for p in net.float().parameters()} == {torch.float32}
    assert [p.dtype for p in net.half().parameters()] == [torch.float32] * 2 + [torch.float16] * 2
    assert net[0].get_buffer("count").dtype == torch.int64


@torch.inference_mode()
def test_fine_masks_begin_as_the_enlarged_masks() -> None:
    module = FineMasks(32, 24).eval()
    masks, queries = torch.randn(2, 5, 4, 6, generator=generator()), torch.randn(2, 5, 32, generator=generator())
    pixels, c2 = torch.randn(2, 32, 4, 6, generator=generator()), torch.randn(2, 24, 8, 12, generator=generator())
    enlarged = nn.functional.interpolate(masks, scale_factor=2.0, mode="bilinear")
    assert torch.equal(module(masks, queries, pixels, c2), enlarged)
    nn.init.normal_(module.queries.weight, generator=generator())
    refined = module(masks, queries, pixels, c2)
    assert refined.shape == (2, 5, 8, 12)
    assert (refined - enlarged).abs().max() > 0.1
    elsewhere = c2.clone()
    elsewhere[:, :, :, 6:] += 1  # what the fine map says of the right half reaches two cells into the left one
    assert torch.equal(module(masks, queries, pixels, elsewhere)[..., :4], refined[..., :4])
