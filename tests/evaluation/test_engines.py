"""A segmenter for data sets: every score kept, one engine a padded size, the same outputs as with zero-padding."""

from pathlib import Path

import numpy as np
import pytest

from fastinst_rt.backends.eager import EagerEngine
from fastinst_rt.evaluation import engines
from fastinst_rt.evaluation.engines import PaddedInput, open_segmenter


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_padding_with_the_mean_colour_is_padding_with_zeros(narrow_weights: Path) -> None:
    net, _ = engines.named_network("fastinst-d1-r50", narrow_weights)
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


def test_one_engine_a_padded_size(narrow_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    with open_segmenter("fastinst-d1-r50", weights=narrow_weights, backend="openvino", proof=proof) as segmenter:
        for size in sizes:
            found = segmenter(picture(*size))
            assert found.size == size
            assert len(found) == 100  # every pair of query and class, whatever its score
        assert not closed
    assert opened == [((64, 96), "openvino"), ((96, 64), "openvino")]
    assert sorted(closed) == [(64, 96), (96, 64)]  # each once, though the first served several sizes
    opened.clear()
    with open_segmenter("fastinst-d1-r50", weights=narrow_weights, proof=proof) as segmenter:
        for size in sizes:
            segmenter(picture(*size))
    assert [resized for resized, _ in opened] == [(64, 70), (64, 80), (80, 64)]
    assert {backend for _, backend in opened} == {"eager"}
