"""Networks with the oracle's weights, loaded through the project's own checkpoint loader."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.zoo import create_model, get_spec
from fastinst_rt.weights.official import load_official_checkpoint


def configuration(name: str) -> str:
    """The published name of a model's configuration: its checkpoint's without the AP."""
    checkpoint = get_spec(name).checkpoint
    assert checkpoint is not None
    return checkpoint.rpartition("_")[0]


@pytest.fixture(scope="session")
def published(oracle: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], FastInst]:
    """Model name -> a float64 network with the oracle's deterministic weights; one at a time is kept."""
    spec = importlib.util.spec_from_file_location("fill", oracle / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    last: dict[str, FastInst] = {}

    def load(name: str) -> FastInst:
        if name not in last:
            last.clear()
            rows = json.loads((oracle / "published_keys" / f"{configuration(name)}.json").read_text())
            tensors = {key: torch.from_numpy(fill.fill(key, shape, dtype)) for key, shape, dtype in rows}
            path = tmp_path_factory.mktemp("published") / f"{name}.pth"
            torch.save({"model": tensors}, path)
            net = create_model(name)
            load_official_checkpoint(net, path)
            path.unlink()
            last[name] = net.double().requires_grad_(False)
        return last[name]

    return load
