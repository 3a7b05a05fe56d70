"""Outputs against those of the published network with the same weights."""

import copy
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.queries import Queries
from fastinst_rt.preprocess import resize_exact
from tests.models.conftest import configuration

Reference = dict[str, npt.NDArray[np.float64]]
TOLERANCE = 1e-8


def reference_and_input(oracle: Path, net: FastInst, name: str, suffix: str = "") -> tuple[Reference, Tensor]:
    with np.load(oracle / "cases" / f"{configuration(name)}.a{suffix}.npz") as case:
        reference = dict(case)
    resized = resize_exact(cv2.imread(str(oracle / "cases" / "image_a.png")), tuple(reference["resized_hw"].tolist()))
    x = net.normalize(torch.from_numpy(resized).permute(2, 0, 1)[None])
    height, width = reference["padded_hw"].tolist()
    return reference, F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))


def assert_equal(reference: Reference, logits: Tensor, masks: Tensor) -> None:
    assert masks.shape == tuple(reference["pred_masks_shape"].tolist())
    for ours, theirs in (
        (logits, reference["pred_logits"]),
        (masks[:, :, ::3, ::3], reference["pred_masks_every3"]),
        (masks.mean((2, 3)), reference["pred_masks_mean"]),
    ):
        assert np.abs(ours.numpy() - theirs).max() < TOLERANCE


@torch.inference_mode()
def test_equals_it_where_queries_have_no_positive_mask_logit(
    published: Callable[[str], FastInst], oracle: Path
) -> None:
    name = "fastinst-d1-r50"
    net = copy.deepcopy(published(name))
    for head in list(net.decoder.heads)[:-1]:
        head.get_parameter("pixels.weight").mul_(0.15)
        head.get_parameter("pixels.bias").mul_(100)
    reference, x = reference_and_input(oracle, net, name, ".fallback")
    trace = net.trace(normalized=x)
    blocked = (trace.predictions[0][1].flatten(2) < 0).all(-1)
    assert 0 < blocked.sum() < blocked.numel(), "the case is about some queries without a place to look at"
    assert_equal(reference, *trace.predictions[-1])


@torch.inference_mode()
def test_float32_agrees_with_the_published_intermediates(published: Callable[[str], FastInst], oracle: Path) -> None:
    """Finds the part that is wrong when the outputs are: backbone, pixel decoder, queries, heads' inputs."""
    name = "fastinst-d1-r50"
    net = copy.deepcopy(published(name)).float()
    _, x = reference_and_input(oracle, net, name)
    with np.load(oracle / "cases" / f"{configuration(name)}.a.intermediate.npz") as case:
        reference = dict(case)
    seen: dict[str, tuple[Tensor, ...]] = {}
    for part in ("backbone", "pixel_decoder"):
        net.get_submodule(part).register_forward_hook(lambda _m, _i, output, part=part: seen.update({part: output}))
    trace = net.trace(normalized=x)
    (c3, c4, c5), (e3, e4, e5) = seen["backbone"], seen["pixel_decoder"]

    def sample(tensor: Tensor) -> npt.NDArray[np.float32]:
        flat = tensor.reshape(-1)
        taken: npt.NDArray[np.float32] = flat[:: max(1, flat.numel() // 4096)][:4096].numpy()
        return taken

    maps = {"net_in_sample": x, "s_res3": c3, "s_res4": c4, "s_res5": c5, "s_pyr0": e5, "s_pyr1": e4, "s_pyr2": e3}
    for key, ours in maps.items():
        theirs = reference[key]
        assert np.linalg.norm(sample(ours) - theirs) < 1e-5 * np.linalg.norm(theirs), key
    for depth, state in enumerate(trace.states):
        theirs = reference[f"head{depth}_s_query"][:, 0]
        assert np.linalg.norm(state.queries[0].numpy() - theirs) < 1e-3 * np.linalg.norm(theirs), depth


@pytest.mark.parametrize(
    "name", ["fastinst-d1-r50", "fastinst-d1-r50dcn", pytest.param("fastinst-d3-r50", marks=pytest.mark.slow)]
)
@torch.inference_mode()
def test_equals_the_published_network(published: Callable[[str], FastInst], oracle: Path, name: str) -> None:
    net = published(name)
    reference, x = reference_and_input(oracle, net, name)
    seen: list[Queries] = []
    with net.queries.register_forward_hook(lambda _m, _i, output: seen.append(output)):
        logits, masks = net.forward_normalized(x)
    (queries,) = seen
    assert queries.proposal_indices is not None
    assert np.array_equal(queries.proposal_indices.numpy(), reference["proposal_indices"])
    assert_equal(reference, logits, masks)
