"""Runs a TensorRT plan: buffers that belong to torch, one stream, one CUDA graph.

Nothing is allocated after the engine is made. A call copies the picture's bytes into the input buffer, replays the
graph and hands out the output buffers themselves.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastinst_rt.backends.base import EngineInfo, Images, as_batch
from fastinst_rt.errors import EngineError

REBUILD = "Compile it again with `fastinst-rt compile --rebuild`, or use --backend inductor."

# TensorRT makes its last allocations and picks its last kernels in the first run; a graph is recorded after these.
_WARM_UP_RUNS = 3


@dataclass(frozen=True)
class Buffers:
    """The tensors that a plan reads and writes, at addresses that never change.

    Attributes:
        images: uint8 [B, h, w, 3].
        logits: float32 [B, Q, K+1].
        masks: float32 [B, Q, h, w].
    """

    images: Tensor
    logits: Tensor
    masks: Tensor


def bind(engine: Any, context: Any, trt: ModuleType, info: EngineInfo, device: str) -> Buffers:
    """Make a buffer for each input and output of the plan and tell the context where they are.

    Raises:
        EngineError: if the plan does not read one picture batch and write logits and masks.
    """
    types = {trt.DataType.UINT8: torch.uint8, trt.DataType.FLOAT: torch.float32}
    found: dict[str, Tensor] = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        shape, kind = tuple(engine.get_tensor_shape(name)), engine.get_tensor_dtype(name)
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        role = "images" if is_input else {3: "logits", 4: "masks"}.get(len(shape), name)
        if kind not in types or min(shape) < 1:
            raise EngineError(f"The plan has a tensor {name} of {kind} {shape}, which cannot be.", REBUILD)
        found[role] = torch.empty(shape, dtype=types[kind], device=device)
        context.set_tensor_address(name, found[role].data_ptr())
    expected = (info.batch, *info.resized, 3)
    if sorted(found) != ["images", "logits", "masks"] or tuple(found["images"].shape) != expected:
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in found.items())
        raise EngineError(f"The plan has {shapes}; it should read {expected} and write logits and masks.", REBUILD)
    return Buffers(**found)


class TensorRTEngine:
    """A plan on a GPU. Use it from one thread.

    Args:
        plan: serialised engine.
        info: what it is; `info.device` says which GPU.
        trt: TensorRT's Python package.

    Raises:
        EngineError: if TensorRT cannot load or run the plan.
    """

    def __init__(self, plan: bytes, info: EngineInfo, trt: ModuleType) -> None:
        self.info = info
        self._device = torch.device(info.device)
        with torch.cuda.device(self._device):
            self._runtime = trt.Runtime(trt.Logger(trt.Logger.ERROR))
            self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise EngineError(f"TensorRT {trt.__version__} cannot load the plan of {info.name}.", REBUILD)
            self._context = self._engine.create_execution_context()
            if self._context is None:
                # TensorRT-RTX, for one, has no FP32 products on compute capability 7.5 (torch-tensorrt 4643).
                raise EngineError(
                    f"This GPU cannot run {info.name}: its memory is full, or it lacks an operator.",
                    "Close other programs on the GPU, or use --backend inductor.",
                )
            self._buffers = bind(self._engine, self._context, trt, info, info.device)
            self._staging = torch.empty_like(self._buffers.images, device="cpu").pin_memory()
            self._staged = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            self._graph = self._record()

    def __call__(self, images: Images) -> tuple[Tensor, Tensor]:
        batch = as_batch(images, self.info)
        caller = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(caller)  # the caller may still be reading the last results, or making this picture
        with torch.cuda.stream(self._stream):
            self._take(batch)
            if self._graph is None:
                self._enqueue()
            else:
                self._graph.replay()
        caller.wait_stream(self._stream)
        return self._buffers.logits, self._buffers.masks

    def close(self) -> None:
        """Give the GPU memory back."""
        torch.cuda.synchronize(self._device)
        # In this order: a graph must not outlive its context, nor a context its engine.
        self._graph = self._context = self._engine = self._runtime = None
        del self._buffers, self._staging

    @property
    def uses_cuda_graph(self) -> bool:
        """Whether calls replay a recorded graph."""
        return self._graph is not None

    def _take(self, batch: Tensor) -> None:
        """Copy the picture in. Ordinary memory goes through a pinned buffer, or the copy would wait for the GPU."""
        if batch.device.type == "cpu":
            self._staged.synchronize()  # the last picture has left the pinned buffer
            np.copyto(self._staging.numpy(), batch.numpy())
            batch = self._staging
        self._buffers.images.copy_(batch, non_blocking=True)
        self._staged.record(self._stream)

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            raise EngineError(f"TensorRT could not run {self.info.name}.", REBUILD)

    def _record(self) -> torch.cuda.CUDAGraph | None:
        """Warm up, then record one run; None where the context says that it cannot be recorded (TensorRT-RTX may)."""
        self._buffers.images.zero_()
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UP_RUNS):
                self._enqueue()
        self._stream.synchronize()
        can_be_recorded = getattr(self._context, "is_stream_capturable", None)  # only TensorRT-RTX has it
        if can_be_recorded is not None and not can_be_recorded(self._stream.cuda_stream):
            return None
        graph = torch.cuda.CUDAGraph()
        # thread_local: the decoder's and the renderer's threads may use the GPU meanwhile
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            self._enqueue()
        return graph
