"""Lets Torch-TensorRT build engines on a machine without a GPU: answers its questions about one, and catches the plan.

Building with TensorRT-RTX needs no driver, yet torch_tensorrt asks torch.cuda what GPU there is, and loads every
plan it has built. Both are answered here, for compute capability 8.6 with 24 GiB. Nothing else of CUDA is pretended:
whatever tries to compute on the GPU fails as it should. Lives in the throw-away environment of make_env.py alone.
"""

from types import SimpleNamespace

import torch

_MEMORY = 24 << 30


class _CaughtPlan:
    """Stands for the engine that only a driver could load; gives back the plan it was made from."""

    def __init__(self, plan: object) -> None:
        self._plan = plan

    def serialize(self) -> object:
        return self._plan


class _PlanCatcher:
    """Stands for `tensorrt.Runtime`, whose real constructor looks for a driver."""

    def __init__(self, logger: object) -> None:
        del logger

    def deserialize_cuda_engine(self, plan: object) -> _CaughtPlan:
        return _CaughtPlan(plan)


def install() -> None:
    """Answer for torch.cuda, and put the plan catcher into TensorRT."""
    properties = SimpleNamespace(name="pretended GPU", major=8, minor=6, total_memory=_MEMORY, multi_processor_count=82)
    torch.cuda.get_device_capability = lambda *_: (8, 6)
    torch.cuda.get_device_properties = lambda *_: properties
    torch.cuda.current_device = lambda: 0
    torch.cuda.mem_get_info = lambda *_: (_MEMORY, _MEMORY)
    if not hasattr(torch._C, "_CudaDeviceProperties"):
        torch._C._CudaDeviceProperties = SimpleNamespace
    import tensorrt_rtx

    tensorrt_rtx.Runtime = _PlanCatcher


install()
