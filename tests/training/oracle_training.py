"""The published training case: the same weights, pictures, random points; what the published code gave."""

import importlib.util
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.zoo import create_model
from fastinst_rt.training.criterion import Criterion, Losses
from fastinst_rt.training.matcher import Matcher
from fastinst_rt.training.targets import Target
from fastinst_rt.weights.official import load_official_checkpoint


def points_by_shape(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """The reference's replacement of torch.rand: a function of the shape."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(repr(tuple(shape)).encode())))
    return torch.from_numpy(generator.random(shape, dtype=np.float32)).to(device)


@dataclass(frozen=True)
class Case:
    """One training step of the reference."""

    facts: dict[str, Any]
    images: Tensor
    targets: list[Target]


def published_net(folder: Path, config: str, name: str, scratch: Path) -> FastInst:
    """A network whose published tensors are filled by rule, loaded through the project's own loader."""
    spec = importlib.util.spec_from_file_location("fill", folder / "fill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    keys = json.loads((folder / "published_keys" / f"{config}.json").read_text())
    model = {key: torch.from_numpy(np.ascontiguousarray(module.fill(key, shape, dtype))) for key, shape, dtype in keys}
    path = scratch / "published.pth"
    torch.save({"model": model}, path)
    net = create_model(name)
    load_official_checkpoint(net, path)
    return net.train()


def step(net: FastInst, images: Tensor, targets: list[Target], **criterion: Any) -> Losses:
    """Losses of one step with the reference's points, gradients included."""
    objective = Criterion(Matcher(random=points_by_shape), **criterion)
    losses = objective(net.guided_predictions, net.trace(images), targets)
    losses.total.backward()
    return losses


def read_case(folder: Path, config: str, case: str) -> Case:
    """Pictures, labels and facts of a stored case; m00 is m35 without its instances."""
    facts = json.loads((folder / "cases" / f"train.{config}.{case}.json").read_text())
    stored = np.load(folder / "cases" / f"train.{config}.m35.npz")
    images = torch.stack([torch.from_numpy(stored[f"image{i}"]).float() for i in range(2)])
    targets = []
    for i in range(2):
        masks = torch.from_numpy(np.unpackbits(stored[f"masks{i}"], axis=-1)).bool()
        target = Target(torch.from_numpy(stored[f"labels{i}"]), masks)
        targets.append(target if case == "m35" else Target(target.class_ids[:0], target.masks[:0]))
    return Case(facts, images, targets)
