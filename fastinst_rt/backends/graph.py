"""The graph that backends compile: bytes in, float32 logits out, for one fixed shape.

It is a module of its own, so that the eager network is never bent to please a compiler.
"""

import contextlib
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastinst_rt.models.folding import fold
from fastinst_rt.results import Size


class EngineGraph(nn.Module):
    """Normalise, zero-pad at the bottom and right, run the network.

    Args:
        net: a network of `models.zoo` in eval mode; it is used as it is, not copied.
        resized: (height, width) of the pictures.
        padded: (height, width) that the network sees, multiples of 32.
    """

    def __init__(self, net: nn.Module, resized: Size, padded: Size) -> None:
        super().__init__()
        self.net = net
        self.padding = (0, 0, 0, padded[1] - resized[1], 0, padded[0] - resized[0])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [B, h, w, 3] RGB -> float32 class logits [B, Q, K+1] and mask logits [B, Q, h, w]."""
        # To float first: TensorRT takes bytes as an input, and no operator but a cast on them. Permuted last, right
        # before the first convolution: OpenVINO's works on channels-last maps, and then nothing is copied.
        pixels = self.net.normalize(images.to(torch.float32), channels=3)  # type: ignore[operator]
        if any(self.padding):
            pixels = F.pad(pixels, self.padding)
        logits, masks = self.net.forward_normalized(pixels.permute(0, 3, 1, 2))  # type: ignore[operator]
        return logits.float(), masks.float()


def engine_graph(net: nn.Module, resized: Size, padded: Size) -> EngineGraph:
    """The graph over an own, folded float32 copy of `net`: building never changes the caller's."""
    return EngineGraph(fold(net).float(), resized, padded)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """torch's exporter warns of its own deprecated types, which is no news to a user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def export(graph: nn.Module, batch: int, resized: Size, device: str = "cpu") -> torch.export.ExportedProgram:
    """The whole graph as one `torch.export` program for uint8 [batch, h, w, 3]."""
    example = torch.zeros((batch, *resized, 3), dtype=torch.uint8, device=device)
    with torch.inference_mode(False), torch.no_grad(), quiet():
        return torch.export.export(graph.to(device), (example,), strict=False)
