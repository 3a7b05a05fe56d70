"""Run by the throw-away environment's Python: builds engines as `fastinst-rt compile` does, and says what came out.

    python build.py MODEL PRECISION HEIGHT WIDTH [MODEL PRECISION HEIGHT WIDTH ...]

prints one JSON line for each engine: name, seconds, cpu_seconds (of this process and the compiler), and what was found
in the plan, or the problem.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from fastinst_rt.backends.base import BuildFacts, EngineKey, no_progress
from fastinst_rt.backends.tensorrt import TensorRTBackend
from fastinst_rt.errors import EngineError
from fastinst_rt.models.zoo import create_model
from fastinst_rt.preprocess import padded_size
from fastinst_rt.results import Size


class AllBelowZero(nn.Module):
    """An operator that TensorRT has no converter for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x < 0).all(-1)


class Unconvertible(nn.Module):
    """As much of a network as the engine's graph asks for, with that operator in it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 1)
        self.all_below_zero = AllBelowZero()

    def normalize(self, image: torch.Tensor, channels: int = 1) -> torch.Tensor:  # noqa: ARG002
        return image / 255

    def forward_normalized(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        masks = self.convolution(x.to(self.convolution.weight.dtype))
        return self.all_below_zero(masks), masks


def build(net: nn.Module, model: str, precision: str, size: Size, folder: Path) -> BuildFacts:
    backend = TensorRTBackend()
    key = EngineKey(model, "", "tensorrt", precision, 1, size, padded_size(size), "cuda", "", backend.libraries())
    return backend.build(net, key, folder, [], no_progress)


def main(arguments: list[str]) -> None:
    for model, precision, height, width in zip(*[iter(arguments)] * 4, strict=True):
        start, busy = time.monotonic(), sum(os.times()[:4])
        line: dict[str, object] = {"name": f"{model} {precision} {height}x{width}"}
        net = Unconvertible() if model == "unconvertible" else create_model(model)
        with tempfile.TemporaryDirectory() as folder:
            try:
                facts = build(net, model, precision, (int(height), int(width)), Path(folder))
            except EngineError as error:
                line |= {"problem": str(error)}
            else:
                line |= {"precision": facts.precision_found, "files": list(facts.files), **facts.inspection}
        line["seconds"] = round(time.monotonic() - start, 1)
        line["cpu_seconds"] = round(sum(os.times()[:4]) - busy, 1)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
