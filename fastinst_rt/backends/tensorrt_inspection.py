"""Which precision a TensorRT plan really has: read from its layers, or where no GPU can load it, from its size."""

import importlib
import importlib.metadata
import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

import torch

# Share of the numbers between layers that must be of one type for the engine to count as that type. FP16 engines keep
# islands of FP32 (proposals, normalisation of the picture, outputs).
_MOSTLY = 0.6

# Bytes of plan a weight: an FP16 engine has 2 and its code, an FP32 engine 4 and its code.
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


def inspect_plan(plan: bytes, weight_elements: int) -> dict[str, Any]:
    """What a plan shows of itself.

    Args:
        plan: serialised engine.
        weight_elements: numbers in the network's weights.

    Returns:
        precision ("fp16", "fp32" or "mixed"), evidence ("layers" or "size"), plan_bytes, bytes_per_weight, and where
        the layers could be read, layers (count) and numbers (between layers, by type).
    """
    bytes_per_weight = len(plan) / weight_elements
    facts: dict[str, Any] = {"plan_bytes": len(plan), "bytes_per_weight": round(bytes_per_weight, 2)}
    numbers: dict[str, int] = {}
    if torch.cuda.is_available():
        layers = _layers(plan)
        numbers = numbers_by_type(layers)
        facts |= {"layers": len(layers), "numbers": numbers}
    if any(numbers.get(name) for name in ("fp16", "fp32")):
        return facts | {"precision": precision_of_layers(numbers), "evidence": "layers"}
    return facts | {"precision": "fp16" if bytes_per_weight < _FP16_BYTES else "fp32", "evidence": "size"}


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


def precision_of_layers(numbers: Mapping[str, int]) -> str:
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
