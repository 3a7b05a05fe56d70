"""A segmenter for data sets: every score kept, one engine a padded size, the same outputs as with zero-padding."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fastinst_rt.backends.eager import EagerEngine
from fastinst_rt.evaluation import engines
from fastinst_rt.evaluation.engines import PaddedInput, open_segmenter
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.zoo import get_spec
from fastinst_rt.weights.store import save_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "narrow.safetensors"
    spec = replace(get_spec("fastinst-d1-r50"), width=32, feedforward=32, num_queries=10, short_side=64, max_side=96)
    save_weights(FastInst(spec).eval(), path, {"provenance": "made up"})
    return path


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_padding_with_the_mean_colour_is_padding_with_zeros(weights: Path) -> None:
    net, _ = engines.named_network("fastinst-d1-r50", weights)
    image = picture(50, 70)
    zeros, mean = (
        EagerEngine(net, (50, 70)),
        PaddedInput(EagerEngine(net, (64, 96)), (50, 70), net.spec.pixel_mean, lambda: None),
    )
    for expected, found in zip(zeros(image[None]), mean(image[None]), strict=True):
        assert found.shape == expected.shape
        assert (found - expected).norm() < 0.02 * expected.norm()
    # against that, padding with black changes the outputs much more
    black = EagerEngine(net, (64, 96))(np.pad(image, ((0, 14), (0, 26), (0, 0)))[None])
    assert (black[0] - zeros(image[None])[0]).norm() > 0.05 * black[0].norm()


def test_one_engine_a_padded_size(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, closed = [], []

    class Counted(EagerEngine):
        def close(self) -> None:
            closed.append(self.info.resized)

    def spy(net, *, resized, **options):
        opened.append((resized, options["backend"]))
        assert [p.shape for p in options["pictures"]] == [(*resized, 3)] * 2
        return Counted(net, resized, model=options["model"])

    monkeypatch.setattr(engines, "open_engine", spy)
    proof = [picture(100, 50), picture(64, 96)]
    sizes = [(64, 70), (64, 80), (80, 64), (66, 82)]
    with open_segmenter("fastinst-d1-r50", weights=weights, backend="openvino", proof=proof) as segmenter:
        for size in sizes:
            found = segmenter(picture(*size))
            assert found.size == size
            assert len(found) == 100  # every pair of query and class, whatever its score
        assert not closed
    assert opened == [((64, 96), "openvino"), ((96, 64), "openvino")]
    assert sorted(closed) == [(64, 96), (96, 64)]  # each once, though the first served several sizes
    opened.clear()
    with open_segmenter("fastinst-d1-r50", weights=weights, proof=proof) as segmenter:
        for size in sizes:
            segmenter(picture(*size))
    assert [resized for resized, _ in opened] == [(64, 70), (64, 80), (80, 64)]
    assert {backend for _, backend in opened} == {"eager"}
