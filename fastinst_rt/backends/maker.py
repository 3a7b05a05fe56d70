"""Makes the engines of one network: loads what is stored, builds and proves what is not."""

import contextlib
import datetime
import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import fastinst_rt
from fastinst_rt.backends.base import Backend, Engine, EngineKey, Progress, RunOptions, no_progress
from fastinst_rt.backends.hardware import device_kind, hardware_name
from fastinst_rt.backends.manifest import Manifest
from fastinst_rt.backends.pictures import drawn_pictures
from fastinst_rt.backends.proof import prove
from fastinst_rt.backends.store import EngineStore, hash_files, repair_command
from fastinst_rt.errors import EngineError, EngineRefusedError, ParityError
from fastinst_rt.models.spec import ModelSpec
from fastinst_rt.preprocess import padded_size
from fastinst_rt.results import Size

DRAWN_PICTURES = 4
"""Pictures an engine is proven on where none are given: 40 instances in each direction, a few seconds on two cores."""

_NOT_IN_THE_GRAPH = {
    "name",
    "short_side",
    "max_side",
    "categories",
    "checkpoint",
    "ap_val",
    "ap_test",
    "params_m",
    "gflops",
    "fps_v100",
    "nms_iou",
}

Pictures = Sequence[npt.NDArray[np.uint8]]


class DeviceMemoryError(EngineError):
    """The device's memory is full, which says nothing about the engine (exit code 5)."""


class UnloadableEngineError(EngineRefusedError):
    """A stored engine whose files are those that were proven, and which will not load any more (exit code 5)."""


class EngineMaker:
    """Loads or builds the engines of one network at one shape on one device.

    Args:
        net, model, weights_sha256, resized, batch: as in `open_engine`; the digest is known here.
        options: device, mode and threads.
        store: where engines are kept.
        pictures: uint8 [h, w, 3] RGB of size `resized` that new engines are proven on; drawn ones where there are none.
        calibration: the same, for INT8.
    """

    def __init__(
        self,
        net: nn.Module,
        model: str,
        weights_sha256: str,
        resized: Size,
        batch: int,
        options: RunOptions,
        store: EngineStore,
        pictures: Pictures = (),
        calibration: Pictures = (),
    ) -> None:
        self.net = net
        self.model = model
        self.weights_sha256 = weights_sha256
        self.resized = resized
        self.batch = batch
        self.options = options
        self.store = store
        self.pictures = pictures
        self.calibration = calibration

    def key(self, backend: Backend, precision: str) -> EngineKey:
        """What an engine must match."""
        return EngineKey(
            model=self.model,
            weights_sha256=self.weights_sha256,
            backend=backend.name,
            precision=precision,
            batch=self.batch,
            resized=self.resized,
            padded=padded_size(self.resized),
            device=device_kind(self.options.device),
            hardware=hardware_name(self.options.device),
            libraries=backend.libraries(),
            architecture=architecture_digest(self.net),
        )

    def get(
        self, backend: Backend, precision: str, allow_unverified: bool = False, on_progress: Progress = no_progress
    ) -> Engine:
        """The stored engine, or a new one in its place if it is missing, refused or does not load.

        Raises:
            ParityError, EngineError: as `build` and `load` do; there is one new build at most.
        """
        try:
            return self.load(backend, precision, allow_unverified)
        except EngineRefusedError as refusal:
            on_progress(refusal.problem, None)
            unloadable = isinstance(refusal, UnloadableEngineError)  # the store would take it for a good one
        self.build(backend, precision, allow_unverified, on_progress, rebuild=unloadable)
        return self.load(backend, precision, allow_unverified)

    def load(self, backend: Backend, precision: str, allow_unverified: bool = False) -> Engine:
        """The stored engine.

        Raises:
            EngineRefusedError: there is none, or it may not be used.
            UnloadableEngineError: nothing is wrong with its files, but it does not load.
            DeviceMemoryError: there is no room for it on the device.
        """
        key = self.key(backend, precision)
        manifest = self.store.check(key, allow_unverified)
        try:
            with _device_errors(key, "loaded"):
                engine = backend.load(self.store.path(key), key, self.options)
        except DeviceMemoryError:
            raise
        except EngineError as error:
            raise UnloadableEngineError(error.problem, repair_command(key, rebuild=True)) from error
        engine.info = replace(engine.info, verified=manifest.verified)
        return engine

    def build(
        self,
        backend: Backend,
        precision: str,
        allow_unverified: bool = False,
        on_progress: Progress = no_progress,
        *,
        rebuild: bool = False,
    ) -> Manifest:
        """Build, prove and store, unless another process did so while this one waited.

        Args:
            rebuild: build even if a good engine is there.

        Raises:
            ParityError: under the gate; nothing is stored then, unless `allow_unverified`.
            EngineError: it cannot be built, loaded or stored, or is not of the precision asked for.
        """
        key = self.key(backend, precision)
        with self.store.lock(key, lambda: on_progress("waiting for another process that builds this engine", None)):
            if not rebuild:
                try:
                    return self.store.check(key, allow_unverified)
                except EngineRefusedError:
                    pass
            return self.store.add(key, lambda folder: self._fill(backend, key, folder, allow_unverified, on_progress))

    def _fill(
        self, backend: Backend, key: EngineKey, folder: Path, allow_unverified: bool, on_progress: Progress
    ) -> Manifest:
        begin = time.perf_counter()
        with _device_errors(key, "built"):
            facts = backend.build(self.net, key, folder, self.calibration, on_progress)
        seconds = time.perf_counter() - begin
        if facts.precision_found != key.precision:
            raise EngineError(
                f"{backend.name} was asked for {key.precision}, but what it built runs in {facts.precision_found}.",
                "Give another --precision or --backend.",
            )
        files = hash_files(folder, list(facts.files))
        on_progress("proving it against the FP32 eager network", None)
        with _device_errors(key, "loaded"):
            engine = backend.load(folder, key, self.options)  # from the disk: what is proven is what will be used
        with _device_errors(key, "proven"), contextlib.closing(engine):
            proof = prove(self.net, engine, key, self.pictures or drawn_pictures(DRAWN_PICTURES, key.resized))
        if not (proof.parity.passed or allow_unverified):
            raise ParityError(
                f"The {backend.name} {key.precision} engine is not stored: {proof.parity.sentence()}.",
                "Give another --precision or --backend, or --allow-unverified to use it all the same.",
            )
        return Manifest(
            key=key,
            files=files,
            precision_found=facts.precision_found,
            verified=proof.parity.passed,
            parity=proof.parity.to_json() | {"real_pictures": bool(self.pictures)},
            inspection=facts.inspection,
            build={
                "seconds": round(seconds, 2),
                "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "fastinst_rt": fastinst_rt.__version__,
                "latency_ms": round(proof.latency_ms, 3),
                "eager_ms": round(proof.eager_ms, 3),
                "threads": self.options.threads,
            },
        )


@contextlib.contextmanager
def _device_errors(key: EngineKey, done: str) -> Iterator[None]:
    """torch reports all that CUDA refuses as a RuntimeError; as an EngineError, `auto` can pass the backend over."""
    try:
        yield
    except RuntimeError as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        problem = f"The {key.backend} {key.precision} engine cannot be {done} on {key.hardware}: {reason.rstrip('.')}."
        if isinstance(error, torch.OutOfMemoryError):
            raise DeviceMemoryError(problem, "Close other programs on the GPU, or give another --backend.") from error
        raise EngineError(problem, "Look at `fastinst-rt doctor`, or give another --backend.") from error


def architecture_digest(net: nn.Module) -> str:
    """Short digest of `net.spec` without what does not change the graph: sizes, class names, published figures."""
    spec = net.spec
    assert isinstance(spec, ModelSpec)
    switches = {field.name: getattr(spec, field.name) for field in fields(spec) if field.name not in _NOT_IN_THE_GRAPH}
    return hashlib.sha256(repr([spec.num_classes, *sorted(switches.items())]).encode()).hexdigest()[:12]
