"""The one door to engines: load what is stored and proven; build, prove and store what is not."""

import hashlib
from pathlib import Path

from torch import nn

from fastinst_rt.backends import auto
from fastinst_rt.backends.base import Engine, Mode, Progress, RunOptions, no_progress
from fastinst_rt.backends.eager import EagerEngine
from fastinst_rt.backends.hardware import resolve_device
from fastinst_rt.backends.maker import EngineMaker, Pictures
from fastinst_rt.backends.registry import usable
from fastinst_rt.backends.store import EngineStore
from fastinst_rt.results import Size


def open_engine(
    net: nn.Module,
    *,
    model: str,
    resized: Size,
    weights_sha256: str | None = None,
    batch: int = 1,
    backend: str = "auto",
    precision: str | None = None,
    device: str = "auto",
    engine_dir: Path | None = None,
    mode: Mode = "latency",
    threads: int | None = None,
    pictures: Pictures = (),
    allow_unverified: bool = False,
    on_progress: Progress = no_progress,
) -> Engine:
    """The engine for one network and one input shape, from the store, or built, proven and stored on first use.

    Args:
        net: a network of `models.zoo` in eval mode, its weights loaded. For "eager", and to prove a new engine, it is
            moved to the device.
        model: its name.
        resized: (height, width) of the pictures.
        weights_sha256: digest of the weights' file; None takes a digest of the network's own tensors.
        batch: pictures in one call.
        backend: "auto", "tensorrt", "inductor", "openvino" or "eager".
        precision: "fp16", "fp32" or "int8"; None for what suits the backend.
        device: "auto", "cpu", "cuda" or "cuda:N".
        engine_dir: where engines are kept; None for `default_engine_dir()`.
        mode: "latency" (live) or "throughput" (files).
        threads: CPU threads, or None for the library's choice.
        pictures: uint8 [h, w, 3] RGB of size `resized`, to prove a new engine on; drawn ones otherwise.
        allow_unverified: use an engine that is under the parity gate.
        on_progress: told what a build is doing.

    Raises:
        UsageError: an unknown backend or device.
        EngineError: it cannot be built or stored here (EngineRefusedError, ParityError are its kinds).
    """
    device = resolve_device(device)
    if backend == "eager":
        return EagerEngine(net, resized, batch, device, precision or "fp32", model=model)
    weights = weights_sha256 or network_sha256(net)
    maker = EngineMaker(
        net, model, weights, resized, batch, RunOptions(device, mode, threads), EngineStore(engine_dir), pictures
    )
    if backend == "auto":
        return auto.pick(maker, precision, on_progress)
    return maker.get(*usable(backend, device, precision), allow_unverified, on_progress)


def network_sha256(net: nn.Module) -> str:
    """Digest of every tensor of the network, for weights that come from no file (0.1 s for 30 M parameters)."""
    digest = hashlib.sha256()
    for name, tensor in sorted(net.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
