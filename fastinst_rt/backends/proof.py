"""Proving a loaded engine: parity with the FP32 eager network, and a sample of its latency beside it."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fastinst_rt.backends.base import Engine, EngineKey
from fastinst_rt.backends.eager import EagerEngine
from fastinst_rt.backends.parity import GATES, ParityReport, compare

_LEAST_RUNS, _MOST_RUNS, _SECONDS = 3, 30, 3.0


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found out by running an engine.

    Attributes:
        parity: the comparison of instances.
        latency_ms: median time of one call.
        eager_ms: median time of FP32 eager for as many pictures, in turns with the engine on the same machine.
    """

    parity: ParityReport
    latency_ms: float
    eager_ms: float


def prove(net: nn.Module, engine: Engine, key: EngineKey, pictures: Sequence[npt.NDArray[np.uint8]]) -> Proof:
    """Compare `engine` with `net` in FP32 on the same device.

    Args:
        net: the network the engine was built from; moved to the engine's device.
        pictures: uint8 [h, w, 3] RGB of the engine's size.

    Raises:
        ParityError: if the engine's numbers are not finite, or nothing can be compared.
    """
    reference = EagerEngine(net, key.resized, 1, engine.info.device, model=key.model)
    # PyTorch's default on a GPU lets convolutions run in TF32, which has the mantissa of FP16
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        report = compare(reference, engine, pictures, GATES[key.precision])
    batch = np.stack([pictures[i % len(pictures)] for i in range(key.batch)])
    engine_seconds, eager_seconds = _time_in_turns(engine, reference, batch)
    return Proof(report, 1000 * engine_seconds, 1000 * eager_seconds)


def _time_in_turns(engine: Engine, reference: Engine, batch: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """Median seconds of `batch` through both; in turns, so that another load on the machine hits both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    begin = time.perf_counter()
    while len(times[0]) < _LEAST_RUNS or (len(times[0]) < _MOST_RUNS and time.perf_counter() - begin < _SECONDS):
        times[0].append(_seconds(engine, [batch]))
        times[1].append(_seconds(reference, [batch[i : i + 1] for i in range(len(batch))]))
    return statistics.median(times[0]), statistics.median(times[1])


def _seconds(engine: Engine, batches: list[npt.NDArray[np.uint8]]) -> float:
    begin = time.perf_counter()
    for batch in batches:
        logits, _ = engine(batch)
    if logits.is_cuda:
        torch.cuda.synchronize(logits.device)
    return time.perf_counter() - begin
