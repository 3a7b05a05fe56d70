"""The eager backend: PyTorch as it is. FP32 is the reference that every other engine is compared with."""

import contextlib

import torch
from torch import Tensor, nn

from fastinst_rt.backends.allocator import keep_freed_memory
from fastinst_rt.backends.base import EngineInfo, Images, as_batch
from fastinst_rt.backends.graph import EngineGraph
from fastinst_rt.backends.hardware import device_kind, resolve_device
from fastinst_rt.errors import UsageError
from fastinst_rt.preprocess import padded_size
from fastinst_rt.results import Size

PRECISIONS = {"cpu": ("fp32",), "cuda": ("fp32", "fp16")}


class EagerEngine:
    """Runs the network itself. The network is moved to the device, and not copied.

    Args:
        net: a network of `models.zoo` in eval mode.
        resized: (height, width) of the pictures.
        batch: pictures in one call.
        device: "auto", "cpu" or "cuda:N".
        precision: "fp32", or on CUDA "fp16" (autocast; the network keeps what needs float32 in float32).
        model: its name, for `info`.

    Raises:
        UsageError: for a precision that the device does not have.
    """

    def __init__(
        self,
        net: nn.Module,
        resized: Size,
        batch: int = 1,
        device: str = "cpu",
        precision: str = "fp32",
        *,
        model: str = "",
    ) -> None:
        device = resolve_device(device)
        if precision not in PRECISIONS[device_kind(device)]:
            raise UsageError(f"The eager backend has no {precision} on {device}.", "Give --precision fp32.")
        if device == "cpu":
            keep_freed_memory()
        padded = padded_size(resized)
        self.info = EngineInfo(
            backend="eager",
            model=model,
            precision=precision,
            device=device,
            batch=batch,
            resized=resized,
            padded=padded,
        )
        self._graph = EngineGraph(net.to(device), resized, padded)

    def __call__(self, images: Images) -> tuple[Tensor, Tensor]:
        batch = as_batch(images, self.info).to(self.info.device, non_blocking=True)
        half = torch.autocast("cuda", torch.float16) if self.info.precision == "fp16" else contextlib.nullcontext()
        with torch.inference_mode(), half:
            logits, masks = self._graph(batch)
        return logits, masks

    def close(self) -> None:
        """Drops the reference to the network."""
        del self._graph
