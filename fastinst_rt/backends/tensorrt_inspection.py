"""Which precision a TensorRT plan really has, read from the plan itself.

From its layers, where a GPU can load it; else from its weights, most of which lie in a plan as they are; else from its
size.
"""

import importlib
import importlib.metadata
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

# Share of the numbers that must be of one type for the engine to count as that type. FP16 engines keep islands of FP32
# (proposals, normalisation of the picture, outputs).
_MOSTLY = 0.6

# How many weight tensors are looked for in the plan, the largest first, and how many numbers of each. A compiler turns
# most 3x3 convolutions round: 16 to 67 % of the numbers looked for are found in TensorRT-RTX's FP16 plans of five
# networks, and none of them as FP32. A run of 32 numbers is never there by chance, so a few per cent will do.
_TENSORS, _RUN = 30, 32
_FOUND_ENOUGH = 0.02

# Bytes of plan a weight: an FP16 engine has 2 and its code, an FP32 engine 4 and its code. Code is 9 to 20 MB, which
# hides the difference in small networks.
_FP16_BYTES = 3.0


def flavour() -> str:
    """The package that TensorRT comes in: "tensorrt_rtx" where torch-tensorrt-rtx is installed, else "tensorrt".

    The same rule as torch_tensorrt's own, without importing it.
    """
    try:
        importlib.metadata.version("torch-tensorrt-rtx")
    except importlib.metadata.PackageNotFoundError:
        return "tensorrt"
    return "tensorrt_rtx"


def import_tensorrt() -> ModuleType:
    """TensorRT's Python package, whichever of the two is installed."""
    return importlib.import_module(flavour())


def inspect_plan(plan: bytes, weights: Iterable[Tensor]) -> dict[str, Any]:
    """What a plan shows of itself.

    Args:
        plan: serialised engine.
        weights: the tensors of the network that it was built from.

    Returns:
        precision ("fp16", "fp32" or "mixed"), evidence ("layers", "weights" or "size"), plan_bytes, bytes_per_weight,
        weights (numbers found in the plan, by type), and where a GPU could load it, layers (count) and numbers (between
        layers, by type).
    """
    tensors = [weight.detach().cpu() for weight in weights if weight.is_floating_point()]
    bytes_per_weight = len(plan) / sum(tensor.numel() for tensor in tensors)
    found, share = weights_in_plan(plan, tensors)
    facts: dict[str, Any] = {
        "plan_bytes": len(plan),
        "bytes_per_weight": round(bytes_per_weight, 2),
        "weights": found,
    }
    if torch.cuda.is_available():
        layers = _layers(plan)
        facts |= {"layers": len(layers), "numbers": numbers_by_type(layers)}
    if facts.get("numbers"):
        return facts | {"precision": mostly(facts["numbers"]), "evidence": "layers"}
    if share >= _FOUND_ENOUGH:
        return facts | {"precision": mostly(found), "evidence": "weights"}
    return facts | {"precision": "fp16" if bytes_per_weight < _FP16_BYTES else "fp32", "evidence": "size"}


def weights_in_plan(plan: bytes, tensors: Sequence[Tensor]) -> tuple[dict[str, int], float]:
    """Looks for the bytes of the largest weights in a plan, as FP16 and as FP32.

    Returns:
        numbers in the tensors that were found, by type, and their share of the numbers in all that were looked for.
    """
    found: Counter[str] = Counter()
    looked_for = 0
    for tensor in sorted(tensors, key=lambda t: t.numel(), reverse=True)[:_TENSORS]:
        run = tensor.flatten()[:_RUN]
        if len(set(run.tolist())) < _RUN // 2:
            continue  # zeros and the like are found everywhere
        looked_for += tensor.numel()
        for name, dtype in (("fp16", torch.float16), ("fp32", torch.float32)):
            if plan.find(run.to(dtype).numpy().tobytes()) >= 0:
                found[name] += tensor.numel()
                break
    return dict(found), sum(found.values()) / max(1, looked_for)


def _layers(plan: bytes) -> list[Any]:
    trt = import_tensorrt()
    engine = trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(plan)
    if engine is None:
        return []
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    layers: list[Any] = json.loads(text).get("Layers", [])
    return layers


def numbers_by_type(layers: Iterable[Any]) -> dict[str, int]:
    """How many numbers the layers put out, by type ("fp16", "fp32"), from the engine inspector's JSON.

    A layer that shows only its name (plans built without details) counts for nothing.
    """
    counts: Counter[str] = Counter()
    for layer in layers:
        for output in layer.get("Outputs", []) if isinstance(layer, Mapping) else []:
            precision = _precision_of(str(output.get("Format/Datatype") or output.get("Datatype") or ""))
            if precision:
                counts[precision] += math.prod(output.get("Dimensions", []))
    return dict(counts)


def mostly(numbers: Mapping[str, int]) -> str:
    """ "fp16" or "fp32" where most numbers are of that type, else "mixed"."""
    total = sum(numbers.values())
    return next((name for name, count in numbers.items() if count >= _MOSTLY * total), "mixed")


def _precision_of(datatype: str) -> str | None:
    """TensorRT writes "Half", "Float", or a sentence such as "Row major linear FP16 format"."""
    text = datatype.lower()
    if "half" in text or "fp16" in text:
        return "fp16"
    if "float" in text or "fp32" in text:
        return "fp32"
    return None
