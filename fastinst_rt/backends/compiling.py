"""Building an engine because somebody said so: `fastinst-rt compile`."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fastinst_rt.backends.base import Progress, RunOptions, no_progress
from fastinst_rt.backends.hardware import device_kind, resolve_device
from fastinst_rt.backends.maker import EngineMaker
from fastinst_rt.backends.manifest import Manifest
from fastinst_rt.backends.opening import network_sha256
from fastinst_rt.backends.pictures import Picture, fit, read_pictures
from fastinst_rt.backends.registry import BACKENDS, usable
from fastinst_rt.backends.store import EngineStore
from fastinst_rt.errors import EngineError, UsageError
from fastinst_rt.results import Size

PARITY_PICTURES = 16
"""Pictures taken from a folder to prove an engine on."""
CALIBRATION_PICTURES = 64
"""Pictures taken from a folder to calibrate INT8 on, some of them held out for the proof where no others are given."""
_HELD_OUT = 8


@dataclass(frozen=True, slots=True)
class CompileRequest:
    """What to build.

    Attributes:
        model, weights_sha256, resized, batch, backend, precision, device: as in `open_engine`.
        engine_dir: where engines are kept; None for `default_engine_dir()`.
        parity_images: folder of pictures to prove it on; None for drawn ones, or some of `calibration_images`.
        calibration_images: folder of pictures to calibrate INT8 on.
        allow_unverified: store it even if it is under the parity gate.
        rebuild: build it even if a good one is there.
    """

    model: str
    resized: Size
    weights_sha256: str | None = None
    batch: int = 1
    backend: str = "auto"
    precision: str | None = None
    device: str = "auto"
    engine_dir: Path | None = None
    parity_images: Path | None = None
    calibration_images: Path | None = None
    allow_unverified: bool = False
    rebuild: bool = False


def compile_engine(
    net: nn.Module, request: CompileRequest, on_progress: Progress = no_progress
) -> tuple[Path, Manifest]:
    """Build, prove and store an engine.

    Args:
        net: the network, in eval mode, its weights loaded.

    Returns:
        The engine's folder, and its manifest.

    Raises:
        UsageError: nothing here can be compiled, or an option makes no sense.
        EngineError: it cannot be built or stored; ParityError: it is under the gate.
    """
    device = resolve_device(request.device)
    name = _preferred(device, request.precision) if request.backend == "auto" else request.backend
    if name == "eager":
        raise UsageError("The eager backend has nothing to compile.", "Use --backend eager without compiling.")
    backend, precision = usable(name, device, request.precision)
    calibration = _pictures(request.calibration_images, CALIBRATION_PICTURES, request.resized)
    proof = _pictures(request.parity_images, PARITY_PICTURES, request.resized)
    if calibration and not proof:
        every = max(2, len(calibration) // _HELD_OUT)
        proof = calibration[::every]
        calibration = [picture for i, picture in enumerate(calibration) if i % every]
    maker = EngineMaker(
        net,
        request.model,
        request.weights_sha256 or network_sha256(net),
        request.resized,
        request.batch,
        RunOptions(device),
        EngineStore(request.engine_dir),
        proof,
        calibration,
    )
    manifest = maker.build(backend, precision, request.allow_unverified, on_progress, rebuild=request.rebuild)
    return maker.store.path(manifest.key), manifest


def _pictures(folder: Path | None, limit: int, size: Size) -> list[Picture]:
    return [] if folder is None else fit(read_pictures(folder, limit), size)


def _preferred(device: str, precision: str | None) -> str:
    """The first backend, in the order of preference, that can run here."""
    kind = device_kind(device)
    reasons = []
    for backend in BACKENDS.values():
        if not backend.precisions(kind):
            continue
        obstacle = backend.obstacle(device, precision)
        if obstacle is None:
            return backend.name
        reasons.append(obstacle.reason.rstrip("."))
    raise EngineError(f"No backend can compile for {device}: {'; '.join(reasons)}.", "Run `fastinst-rt doctor`.")
