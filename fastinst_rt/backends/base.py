"""What an engine is, and what a backend must be able to do: build one, and load one that was built before.

An engine runs one network at one fixed input shape: bytes in, logits out. Normalisation and zero-padding are part of
its graph. A backend never decides whether an engine may be used: `store.py` checks the key, `parity.py` the results.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from fastinst_rt.results import Size

Images = Tensor | npt.NDArray[np.uint8]
"""uint8 [B, h, w, 3], RGB, of the size that `EngineInfo.resized` names."""

Mode = Literal["latency", "throughput"]
"""What the threads of a CPU are set for: one picture as soon as possible (live), or many pictures (files)."""

Progress = Callable[[str, float | None], None]
"""Called with what is being done, and how much of the whole is done (0..1, or None where nobody can know)."""


def no_progress(step: str, done: float | None) -> None:
    """The progress display of those who want none."""


@dataclass(frozen=True, slots=True)
class EngineKey:
    """Everything that must be the same for a stored engine to be used. Its fields name the engine's folder.

    Attributes:
        model: name in the table of models.
        weights_sha256: hex digest of the weights that are built in.
        backend: name of the backend.
        precision: "fp32", "fp16" or "int8", as asked for; the build must find the same in the artefact.
        batch: pictures in one call.
        resized: (height, width) of the pictures handed in.
        padded: (height, width) that the network sees.
        device: "cpu" or "cuda".
        hardware: what the artefact was compiled for: instruction set of the CPU, or name and compute capability of
            the GPU.
        libraries: name -> version of everything the artefact is bound to.
        architecture: digest of the switches the network was built with: an ablation can have the same weights.
    """

    model: str
    weights_sha256: str
    backend: str
    precision: str
    batch: int
    resized: Size
    padded: Size
    device: str
    hardware: str
    libraries: Mapping[str, str]
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a running engine says of itself.

    Attributes:
        backend, model, precision, batch, resized, padded: as in `EngineKey`.
        device: where it runs: "cpu", "cuda:0".
        reason: why this engine was picked, one clause; empty where it was asked for by name.
        verified: whether its instances were compared with those of the FP32 eager network (and passed).
        folder: where it is stored; None for an engine that has no artefact (eager).
        concurrency: calls that may be under way at once, each from a thread of its own.
        passed_over: what `auto` prefers to it and why that could not be used, a clause each.
    """

    backend: str
    model: str
    precision: str
    device: str
    batch: int
    resized: Size
    padded: Size
    reason: str = ""
    verified: bool = True
    folder: Path | None = None
    concurrency: int = 1
    passed_over: tuple[str, ...] = ()

    @classmethod
    def of(cls, key: EngineKey, device: str, folder: Path) -> "EngineInfo":
        """What an engine loaded from `folder` says of itself."""
        return cls(key.backend, key.model, key.precision, device, key.batch, key.resized, key.padded, folder=folder)

    @property
    def name(self) -> str:
        """Short name for a HUD or a table: "openvino fp32 on cpu"."""
        return f"{self.backend} {self.precision} on {self.device}"

    @property
    def note(self) -> str | None:
        """One sentence for a user whose engine is not the preferred one, and probably several times slower."""
        if not self.passed_over:
            return None
        return f"{self.name} is a makeshift and may be several times slower ({'; '.join(self.passed_over)})"


@runtime_checkable
class Engine(Protocol):
    """A network that runs. Use it from one thread, or from `info.concurrency` threads at once."""

    info: EngineInfo

    def __call__(self, images: Images) -> tuple[Tensor, Tensor]:
        """Run on uint8 [B, h, w, 3] RGB.

        Returns:
            float32 class logits [B, Q, K+1] and mask logits [B, Q, h, w] of the padded picture, on the engine's
            device. They are valid until the same thread's next call.
        """
        ...

    def close(self) -> None:
        """Give back what the engine holds; it cannot run afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a backend cannot run here, and what to do about it (one sentence each)."""

    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """What a build reports once its artefact is written.

    Attributes:
        files: names inside the engine's folder; the store hashes them all.
        precision_found: the precision read back from the artefact, never the one asked for.
        inspection: what the artefact shows of itself: counts of operators by precision, sizes (JSON values).
    """

    files: Sequence[str]
    precision_found: str
    inspection: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run an engine; none of it changes the artefact.

    Attributes:
        device: "cpu" or "cuda:N".
        mode: latency or throughput.
        threads: CPU threads, or None for as many as the machine has.
    """

    device: str = "cpu"
    mode: Mode = "latency"
    threads: int | None = None


class Backend(Protocol):
    """Builds engines of one kind, and loads them again."""

    @property
    def name(self) -> str:
        """What `--backend` calls it."""
        ...

    def precisions(self, device: str) -> tuple[str, ...]:
        """Precisions it can build for "cpu" or "cuda", the default first; empty if it cannot use that device."""
        ...

    def obstacle(self, device: str, precision: str | None = None) -> Obstacle | None:
        """Why it cannot build or run here on "cpu", "cuda" or "cuda:N", or None if it can."""
        ...

    def libraries(self) -> dict[str, str]:
        """Name -> version of what its artefacts are bound to."""
        ...

    def build(
        self,
        net: nn.Module,
        key: EngineKey,
        folder: Path,
        pictures: Sequence[npt.NDArray[np.uint8]],
        progress: Progress,
    ) -> BuildFacts:
        """Compile `net` for `key` and write the artefact into `folder`.

        Args:
            pictures: uint8 [h, w, 3] RGB of size `key.resized`, for calibration where the precision needs one.

        Raises:
            EngineError: if it cannot be built.
        """
        ...

    def load(self, folder: Path, key: EngineKey, options: RunOptions) -> Engine:
        """Load the artefact in `folder`, whose content the store has checked.

        Raises:
            EngineError: if the library cannot read it.
        """
        ...


def as_batch(images: Images, info: EngineInfo) -> Tensor:
    """The pictures as a contiguous uint8 tensor [B, h, w, 3], checked against the engine's fixed shape."""
    batch = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
    expected = (info.batch, *info.resized, 3)
    if batch.dtype != torch.uint8 or tuple(batch.shape) != expected:
        raise ValueError(f"engine {info.name} takes uint8 {expected}, not {batch.dtype} {tuple(batch.shape)}")
    return batch.contiguous()
