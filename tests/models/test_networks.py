"""What every network of the zoo must do: export, fold, run in half precision, train, leave batch neighbours alone."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fastinst_rt.models.folding import fold
from fastinst_rt.models.layers import ConvNorm, FrozenBatchNorm2d
from fastinst_rt.models.queries import ActivationGuidedQueries
from fastinst_rt.models.zoo import create_model, list_models

# All kinds of parts between them: both decoders and pixel decoders, plain and deformable convolutions, all norms.
EACH_KIND: list[tuple[str, dict[str, Any]]] = [
    ("fastinst-d1-r50dcn", {}),
    ("mask2former-light-r50", {"decoder_layers": 3}),
    ("fastinst-nano", {"decoder_layers": 2}),
]
each_kind = pytest.mark.parametrize(("name", "switches"), EACH_KIND, ids=[name for name, _ in EACH_KIND])


def picture(batch: int = 1, height: int = 96, width: int = 128) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(5)) * 255


def scramble_norms(net: nn.Module) -> None:
    """Statistics and affine parts as after a training, so that leaving any of them out shows."""
    generator = torch.Generator().manual_seed(7)
    for module in net.modules():
        if isinstance(module, FrozenBatchNorm2d | nn.BatchNorm2d):
            for tensor, low in ((module.weight, 0.2), (module.bias, -0.2), (module.running_mean, -0.2)):
                assert tensor is not None
                tensor.data.copy_(torch.rand(tensor.shape, generator=generator) * 0.4 + low)
            assert module.running_var is not None
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)


@pytest.mark.parametrize("name", ["fastinst-d1-r50dcn", "fastinst-nano"])
@torch.inference_mode()
def test_folding_changes_nothing_but_the_operators(name: str) -> None:
    net = create_model(name)
    scramble_norms(net)
    net.double()
    folded = fold(net)
    batch_norms = FrozenBatchNorm2d | nn.BatchNorm2d
    assert any(isinstance(module, batch_norms) for module in net.modules()), "the original keeps its norms"
    assert not any(isinstance(module, batch_norms) for module in folded.modules())
    for ours, theirs in zip(folded(picture()), net(picture()), strict=True):
        assert (ours - theirs).abs().max() < 1e-9


def test_the_last_projection_of_an_efficientnet_and_its_lateral_are_one_convolution() -> None:
    net = create_model("fastinst-nano")
    folded = fold(net)
    assert folded.backbone.stages[-1][-1].project.conv.weight.shape == (96, 1152, 1, 1)
    assert isinstance(folded.pixel_decoder.laterals[2].conv, nn.Identity)
    assert net.backbone.stages[-1][-1].project.conv.weight.shape == (320, 1152, 1, 1), "the original keeps its own"


def test_every_convolution_with_a_batch_norm_is_one_that_folds() -> None:
    for name in list_models():
        with torch.device("meta"):
            net = create_model(name)
        inside = {module.norm for module in net.modules() if isinstance(module, ConvNorm)}
        for module in net.modules():
            if isinstance(module, FrozenBatchNorm2d | nn.BatchNorm2d):
                assert module in inside


@each_kind
def test_exports_whole_with_no_control_flow_and_no_operator_that_depends_on_data(
    name: str, switches: dict[str, Any]
) -> None:
    net = fold(create_model(name, **switches))
    x = picture()
    with torch.no_grad():
        program = torch.export.export(net, (x,))
        targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
        banned = ("all.dim", "_local_scalar_dense", "nonzero", "deform_conv", "batch_norm", "wrap_with", "cond")
        assert [target for target in targets if any(word in target for word in banned)] == []
        exported = program.module()(x)
        for ours, theirs in zip(exported, net(x), strict=True):
            assert torch.equal(ours, theirs)


@torch.inference_mode()
def test_trace_has_the_same_outputs_as_the_forward_pass() -> None:
    for name in ("fastinst-nano", "mask2former-light-r50"):
        net = create_model(name, decoder_layers=3).double()
        x = picture(2)
        trace, outputs = net.trace(x, attention=True), net(x)
        assert len(trace.predictions) == len(trace.states) == net.spec.decoder_layers + 1
        assert len(trace.attention) == net.spec.decoder_layers
        for ours, theirs in zip(trace.predictions[-1], outputs, strict=True):
            assert (ours - theirs).abs().max() < 1e-9
        assert torch.allclose(trace.attention[-1].sum((2, 3)), torch.ones(()).double())
        queries = trace.query_features.shape[1]
        assert trace.attention[-1].shape == (2, queries, 12, 16)
        normalized = net.trace(normalized=net.normalize(x))
        assert torch.equal(normalized.predictions[-1][1], net.trace(x).predictions[-1][1])


def test_trace_without_a_picture_is_a_mistake() -> None:
    with pytest.raises(TypeError):
        create_model("fastinst-nano").trace()


@torch.inference_mode()
def test_pictures_of_a_batch_do_not_see_each_other() -> None:
    net = create_model("fastinst-nano", decoder_layers=2).double()
    x = picture(3)
    together = net(x)
    alone = [net(x[i : i + 1]) for i in range(3)]
    for output in range(2):
        assert (together[output] - torch.cat([each[output] for each in alone])).abs().max() < 1e-9


@torch.inference_mode()
def test_half_precision_keeps_normalisation_and_proposals_in_float32() -> None:
    net = create_model("fastinst-nano")
    exact = {name: tensor.clone() for name, tensor in net.queries.state_dict().items()}
    net.half()
    assert net.normalize.mean.dtype == torch.float32
    for name, tensor in net.queries.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, exact[name]), "not even rounded once"
    logits, masks = net(picture())
    assert logits.dtype == masks.dtype == torch.float16
    assert logits.isfinite().all()
    assert masks.isfinite().all()
    trace = net.trace(picture())
    assert trace.proposal_logits is not None
    assert trace.proposal_logits.dtype == torch.float32
    assert trace.query_features.dtype == torch.float16


@torch.inference_mode()
def test_autocast_does_not_reach_the_proposals() -> None:
    net = create_model("fastinst-nano")
    queries = net.queries
    assert isinstance(queries, ActivationGuidedQueries)
    e4 = torch.rand(1, net.spec.width, 20, 26, generator=torch.Generator().manual_seed(1))
    plain = queries(e4, net.positions(e4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = queries(e4, net.positions(e4))
    assert plain.proposal_logits is not None
    assert plain.proposal_indices is not None
    assert cast.proposal_logits is not None
    assert torch.equal(cast.proposal_logits, plain.proposal_logits)
    assert cast.proposal_indices is not None
    assert torch.equal(cast.proposal_indices, plain.proposal_indices)


@each_kind
def test_every_parameter_gets_a_gradient(name: str, switches: dict[str, Any]) -> None:
    net = create_model(name, **switches).train()
    trace = net.trace(picture(2, 64, 96))
    batch, queries, height, width = trace.predictions[0][1].shape
    guided = net.guided_predictions(trace, torch.zeros(batch, queries, height, width, dtype=torch.bool))
    assert len(guided) == net.spec.decoder_layers
    total = sum((logits**2).mean() + (masks**2).mean() for logits, masks in (*trace.predictions, *guided))
    if trace.proposal_logits is not None:
        total = total + (trace.proposal_logits**2).mean()
    assert isinstance(total, Tensor)
    total.backward()
    assert [key for key, parameter in net.named_parameters() if parameter.grad is None] == []


def test_training_leaves_the_frozen_norms_alone() -> None:
    net = create_model("fastinst-nano").train()
    before = {key: value.clone() for key, value in net.backbone.state_dict().items() if "norm" in key}
    net.trace(picture(2, 64, 96))
    after = net.backbone.state_dict()
    assert before
    assert all(torch.equal(value, after[key]) for key, value in before.items())


@pytest.mark.parametrize("name", ["fastinst-nano", "mask2former-light-r50"])
@torch.inference_mode()
def test_guided_layers_attend_where_the_masks_let_them(name: str) -> None:
    net = create_model(name, decoder_layers=2).double()
    trace = net.trace(picture())
    shape = trace.predictions[0][1].shape
    free = net.guided_predictions(trace, torch.zeros(shape, dtype=torch.bool))
    all_blocked = net.guided_predictions(trace, torch.ones(shape, dtype=torch.bool))
    left_blocked = torch.zeros(shape, dtype=torch.bool)
    left_blocked[..., : shape[-1] // 2] = True
    half = net.guided_predictions(trace, left_blocked)
    for (free_logits, _), (blocked_logits, _), (half_logits, _) in zip(free, all_blocked, half, strict=True):
        assert torch.equal(free_logits, blocked_logits), "with every place blocked a query attends everywhere"
        assert (free_logits - half_logits).abs().max() > 1e-6
    # its own output goes through the layer again, and the head after it
    state, _ = net.decoder.layer(
        1, trace.states[2], trace.scene, net.decoder.allowed_by_truth(1, left_blocked, trace.scene)
    )
    assert torch.equal(half[1][0], net.decoder.class_logits(2, state, trace.scene))


@torch.inference_mode()
def test_small_pictures_have_no_more_guided_queries_than_places() -> None:
    logits, masks = create_model("fastinst-nano")(picture(1, 64, 64))
    assert logits.shape == (1, 16, 81)
    assert masks.shape == (1, 16, 16, 16)
