"""Looking after the store: what is in it, which of it can be used on this machine, and sweeping out the rest."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from fastinst_rt.backends.base import EngineKey
from fastinst_rt.backends.hardware import gpu_index, hardware_name
from fastinst_rt.backends.manifest import Manifest, differences, read_manifest
from fastinst_rt.backends.registry import BACKENDS
from fastinst_rt.backends.store import EngineStore, check_content, engine_name, repair_command
from fastinst_rt.errors import EngineRefusedError, UsageError

_UNREADABLE = "Delete it with `fastinst-rt engines prune`; it is built anew when it is needed."


@dataclass(frozen=True, slots=True)
class Stored:
    """One engine of the store.

    Attributes:
        name: of its folder.
        manifest: None where it cannot be read.
        refusal: why it cannot be used on this machine; None where it can (with the weights it was built from).
    """

    name: str
    manifest: Manifest | None
    refusal: EngineRefusedError | None

    def to_json(self) -> dict[str, Any]:
        """Name, whether it is usable, why not, and the manifest."""
        return {
            "name": self.name,
            "usable": self.refusal is None,
            "reason": self.refusal.problem if self.refusal else None,
            "manifest": self.manifest.to_json() if self.manifest else None,
        }

    def cells(self) -> tuple[str, ...]:
        """A row of `engines list`."""
        usable = "no" if self.refusal else "yes"
        if self.manifest is None:
            return (self.name, *[""] * 7, usable)
        key, build = self.manifest.key, self.manifest.build
        return (
            f"{key.model} {key.backend}",
            self.manifest.precision_found,
            str(key.batch),
            f"{key.resized[0]}x{key.resized[1]}",
            key.device,
            f"{build['latency_ms']:.3g}",
            f"{build['eager_ms'] / build['latency_ms']:.2f}",
            f"{sum(file['bytes'] for file in self.manifest.files.values()) / 1e6:.1f}",
            usable,
        )


def describe(store: EngineStore, names: Sequence[str] | None = None) -> list[Stored]:
    """The engines of the store, each fully checked against this machine.

    Raises:
        UsageError: for a name that is not there.
    """
    here = store.names()
    for name in names or ():
        if name not in here:
            raise UsageError(f"There is no engine {name!r} in {store.folder}.", "See `fastinst-rt engines list`.")
    return [_describe(store, name) for name in (here if names is None else names)]


def _describe(store: EngineStore, name: str) -> Stored:
    manifest = None
    try:
        manifest = read_manifest(store.folder / name, _UNREADABLE)
        _check_here(store, name, manifest)
    except EngineRefusedError as refusal:
        return Stored(name, manifest, refusal)
    return Stored(name, manifest, None)


def _check_here(store: EngineStore, name: str, manifest: Manifest) -> None:
    key = manifest.key
    remedy = repair_command(key)
    if name != engine_name(key):
        raise EngineRefusedError(f"Engine {name} was renamed; its manifest calls it {engine_name(key)}.", _UNREADABLE)
    if key.device == "cuda" and not torch.cuda.is_available():
        raise EngineRefusedError(f"Engine {name} runs on {key.hardware}, and there is no CUDA device here.", remedy)
    if clauses := differences(key, _as_of_now(key)):
        raise EngineRefusedError(f"Engine {name} does not fit: {'; '.join(clauses)}.", remedy)
    if not manifest.verified:
        raise EngineRefusedError(f"Engine {name} did not pass the parity gate.", remedy)
    check_content(store.folder / name, manifest, remedy)


def _as_of_now(key: EngineKey) -> EngineKey:
    """The key the same engine would get if it were built today, on the GPU it was built for if that is here."""
    device = f"cuda:{gpu_index(key.hardware)}" if key.device == "cuda" else key.device
    backend = BACKENDS.get(key.backend)
    libraries = {} if backend is None or backend.obstacle(device) else backend.libraries()
    return replace(key, hardware=hardware_name(device), libraries=libraries)


def prune(store: EngineStore, *, everything: bool = False, dry_run: bool = False) -> list[tuple[str, str]]:
    """Delete what cannot be used here, what dead builds left, and the notes of failed builds.

    Args:
        everything: delete good engines too.
        dry_run: delete nothing.

    Returns:
        (name, reason) of each.
    """
    doomed = [
        (one.name, one.refusal.problem if one.refusal else "--all was given")
        for one in describe(store)
        if everything or one.refusal
    ]
    leftovers = store.leftovers()
    failures = store.failures()
    if not dry_run:
        for name, _ in doomed:
            store.remove(name)
        for path in leftovers:
            shutil.rmtree(path, ignore_errors=True)
        for path in failures:
            path.unlink(missing_ok=True)
    swept = [(path.name, "a build that did not finish left it") for path in leftovers]
    return [*doomed, *swept, *((path.name, "the note of a build that failed") for path in failures)]
