"""The eager engine is the network itself behind the engines' door."""

import numpy as np
import pytest
import torch

from fastinst_rt.backends.base import Engine
from fastinst_rt.backends.eager import EagerEngine
from fastinst_rt.errors import UsageError
from fastinst_rt.models.zoo import create_model


@pytest.fixture(scope="module")
def nano() -> torch.nn.Module:
    torch.manual_seed(0)
    return create_model("fastinst-nano")


def test_bytes_are_normalised_and_padded_inside(nano: torch.nn.Module) -> None:
    """Zero-padding comes after normalisation: the padding is of the mean colour, not black."""
    picture = np.random.default_rng(0).integers(0, 256, (1, 87, 122, 3), np.uint8)
    engine = EagerEngine(nano, (87, 122), model="fastinst-nano")
    assert isinstance(engine, Engine)
    assert engine.info.padded == (96, 128)
    colour = torch.tensor(nano.spec.pixel_mean).view(1, 3, 1, 1)
    image = colour.expand(1, 3, 96, 128).clone()
    image[:, :, :87, :122] = torch.from_numpy(picture).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = nano(image)
    for found, wanted in zip(engine(picture), expected, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_numpy_and_torch_are_taken_alike(nano: torch.nn.Module) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    engine = EagerEngine(nano, (64, 96), 2)
    assert engine(picture)[1].equal(engine(torch.from_numpy(picture))[1])


@pytest.mark.parametrize("wrong", [np.zeros((1, 64, 96, 3), np.float32), np.zeros((64, 96, 3), np.uint8)])
def test_other_pictures_are_not_taken(nano: torch.nn.Module, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="takes uint8"):
        EagerEngine(nano, (64, 96))(wrong)


def test_half_precision_needs_a_gpu(nano: torch.nn.Module) -> None:
    with pytest.raises(UsageError, match="no fp16 on cpu"):
        EagerEngine(nano, (64, 96), precision="fp16")
