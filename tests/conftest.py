"""Fixtures that every room's tests share."""

from dataclasses import replace
from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data pack beside the checkout; a test that needs it is skipped where it is absent."""
    folder = _SHARED / "data"
    if not folder.is_dir():
        pytest.skip("the development data pack (../shared/data) is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def oracle() -> Path:
    """Reference outputs of the published model, copied into tests/data."""
    return Path(__file__).parent / "data" / "oracle"


@pytest.fixture(scope="module")
def narrow_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a narrow, quick `fastinst-d1-r50`; the file describes the network."""
    import torch

    from fastinst_rt.models.fastinst import FastInst
    from fastinst_rt.models.zoo import get_spec
    from fastinst_rt.weights.store import save_weights

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "narrow.safetensors"
    spec = replace(get_spec("fastinst-d1-r50"), width=32, feedforward=32, num_queries=10, short_side=64, max_side=96)
    save_weights(FastInst(spec).eval(), path, {"provenance": "made up"})
    return path
