# ruff: noqa: ARG002  (a stand-in has the arguments of what it stands for)
"""A network and a backend small enough to try everything that can go wrong, in milliseconds.

Run as a program it builds one engine: `python tiny.py ENGINE_DIR LOG [SECONDS [BYTES]]`, for the tests that need two
processes, a build that is killed, or a disk that is full.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fastinst_rt.backends.base import BuildFacts, EngineInfo, Obstacle, RunOptions, as_batch
from fastinst_rt.backends.graph import engine_graph
from fastinst_rt.backends.maker import EngineMaker
from fastinst_rt.backends.store import EngineStore
from fastinst_rt.categories import Categories
from fastinst_rt.models.spec import ModelSpec

SIZE = (64, 96)


class TinyNet(nn.Module):
    """Same doors as a network of the zoo: masks are patches of colour, classes follow from their mean."""

    def __init__(self, seed: int = 0, queries: int = 12, classes: int = 5) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.masks = nn.Conv2d(3, queries, 8, 8)
        self.classes = nn.Linear(1, classes + 1)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        self.spec = ModelSpec("tiny", 64, 96, Categories.numbered(classes), "lite0", 1, num_queries=queries)
        self.eval()

    def normalize(self, image: Tensor, channels: int = 1) -> Tensor:
        return (image - 127) / 60

    def forward_normalized(self, x: Tensor) -> tuple[Tensor, Tensor]:
        masks = self.masks(x)
        return self.classes(masks.mean((2, 3)).unsqueeze(-1)), masks


class FakeEngine:
    def __init__(self, graph: nn.Module, noise: float, info: EngineInfo) -> None:
        self.info = info
        self.graph = graph
        self.noise = noise

    def __call__(self, images: np.ndarray) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            logits, masks = self.graph(as_batch(images, self.info))
        generator = torch.Generator().manual_seed(1)
        return logits, masks + self.noise * torch.randn(masks.shape, generator=generator)

    def close(self) -> None:
        pass


class FakeBackend:
    """Stores the network's tensors; what it should do wrong is told by its attributes."""

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.version = "1.0"
        self.noise = 0.0
        self.precision_found: str | None = None
        self.missing: Obstacle | None = None
        self.load_errors: list[Exception] = []
        self.offered = ("fp32", "int8")
        self.delay = 0.0
        self.bytes_more = 0
        self.log: Path | None = None
        self.built: list[str] = []
        self.loaded: list[str] = []

    def precisions(self, device: str) -> tuple[str, ...]:
        return self.offered if device == "cpu" else ()

    def obstacle(self, device: str, precision: str | None = None) -> Obstacle | None:
        return self.missing

    def libraries(self) -> dict[str, str]:
        return {self.name: self.version}

    def build(self, net, key, folder, pictures, progress) -> BuildFacts:
        progress("faking", 0.5)
        self.built.append(key.precision)
        if self.log is not None:
            with self.log.open("a") as log:
                log.write("build\n")
        state = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
        np.savez(folder / "model.npz", **state)
        (folder / "more.bin").write_bytes(bytes(self.bytes_more))
        time.sleep(self.delay)
        return BuildFacts(["model.npz", "more.bin"], self.precision_found or key.precision, {"operators": len(state)})

    def load(self, folder: Path, key, options: RunOptions) -> FakeEngine:
        self.loaded.append(folder.name)
        if self.load_errors:
            raise self.load_errors.pop(0)
        net = TinyNet()
        with np.load(folder / "model.npz") as state:
            net.load_state_dict({name: torch.from_numpy(state[name]) for name in state})
        graph = engine_graph(net, key.resized, key.padded)
        return FakeEngine(graph, self.noise, EngineInfo.of(key, "cpu", folder))


def tiny_maker(folder: Path, net: nn.Module | None = None, **changes: object) -> EngineMaker:
    values = {
        "net": net or TinyNet(),
        "model": "tiny",
        "weights_sha256": "ab" * 32,
        "resized": SIZE,
        "batch": 1,
        "options": RunOptions(),
        "store": EngineStore(folder),
    }
    return EngineMaker(**(values | changes))


def run_both(maker: EngineMaker, engine) -> tuple[Tensor, Tensor]:
    """Mask logits of the network itself, and of the engine, for one picture."""
    picture = np.random.default_rng(3).integers(0, 256, (1, *SIZE, 3), np.uint8)
    graph = engine_graph(maker.net, SIZE, SIZE)
    with torch.no_grad():
        return graph(torch.from_numpy(picture))[1], engine(picture)[1]


if __name__ == "__main__":
    backend = FakeBackend()
    backend.log = Path(sys.argv[2])
    backend.delay = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    backend.bytes_more = int(sys.argv[4]) if len(sys.argv) > 4 else 0
    tiny_maker(Path(sys.argv[1])).get(backend, "fp32")
