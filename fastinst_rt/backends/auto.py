"""`--backend auto`: the fastest engine that is installed, proven and fits the device, and why it is that one."""

from dataclasses import dataclass, replace

from fastinst_rt.backends.base import Backend, Engine, EngineKey, Progress
from fastinst_rt.backends.eager import EagerEngine
from fastinst_rt.backends.hardware import device_kind
from fastinst_rt.backends.maker import DeviceMemoryError, EngineMaker
from fastinst_rt.backends.registry import BACKENDS
from fastinst_rt.backends.store import StoreError
from fastinst_rt.errors import EngineError, EngineRefusedError


@dataclass(frozen=True, slots=True)
class _Proven:
    backend: Backend
    precision: str
    latency_ms: float
    eager_ms: float


def pick(maker: EngineMaker, precision: str | None, on_progress: Progress) -> Engine:
    """Make sure that the preferred backend's engine is there, then take the fastest of all that are proven.

    A backend that is not installed, cannot be built, or fails the gate is passed over, and the reason is kept. INT8 and
    other precisions that are not a backend's default are never built here, but used where they are stored and proven.

    Args:
        precision: take this one only; None leaves the choice open.
    """
    passed_over = _ensure_one(maker, precision, on_progress)
    for choice in sorted(_proven(maker, precision), key=lambda one: one.latency_ms):
        try:
            engine = maker.get(choice.backend, choice.precision, on_progress=on_progress)
        except EngineError as error:
            passed_over.append(f"not {choice.backend.name} {choice.precision}: {error.problem}")
            _note_failure(maker, maker.key(choice.backend, choice.precision), error)
            continue
        gain = choice.eager_ms / choice.latency_ms
        reason = f"fastest that is proven here, {choice.latency_ms:.3g} ms a call when built, {gain:.1f} x eager FP32"
        return _explained(engine, reason, passed_over)
    eager = EagerEngine(
        maker.net, maker.resized, maker.batch, maker.options.device, precision or "fp32", model=maker.model
    )
    return _explained(eager, "nothing compiled can be used", passed_over)


def _explained(engine: Engine, reason: str, passed_over: list[str]) -> Engine:
    reason = "; ".join([reason, *passed_over])
    engine.info = replace(engine.info, reason=reason, passed_over=tuple(passed_over))
    return engine


def _ensure_one(maker: EngineMaker, precision: str | None, on_progress: Progress) -> list[str]:
    """Build for the first backend, in the order of preference, that can; say why those before it could not."""
    passed_over: list[str] = []
    kind = device_kind(maker.options.device)
    for backend in BACKENDS.values():
        offered = backend.precisions(kind)
        if not offered:
            continue
        if obstacle := backend.obstacle(maker.options.device, precision):
            passed_over.append(f"not {backend.name}: {obstacle.reason}")
            continue
        wanted = precision or offered[0]
        key = maker.key(backend, wanted)
        if failure := maker.store.failure(key):
            passed_over.append(f"not {backend.name}: {failure}")
            continue
        if maker.store.has(key):
            return passed_over
        try:
            maker.build(backend, wanted, on_progress=on_progress)
        except EngineError as error:
            passed_over.append(f"not {backend.name}: {error.problem}")
            _note_failure(maker, key, error)
            continue
        return passed_over
    return passed_over


def _note_failure(maker: EngineMaker, key: EngineKey, error: EngineError) -> None:
    if not isinstance(error, StoreError | DeviceMemoryError):  # a full disk or GPU says nothing about the engine
        maker.store.note_failure(key, error.problem)


def _proven(maker: EngineMaker, precision: str | None) -> list[_Proven]:
    """What is stored for this network and shape; the content is checked when it is loaded."""
    found = []
    kind = device_kind(maker.options.device)
    for backend in BACKENDS.values():
        for one in backend.precisions(kind):
            if precision not in (None, one) or backend.obstacle(maker.options.device):
                continue
            key = maker.key(backend, one)
            if maker.store.failure(key):  # it was given a new build already, and that failed
                continue
            try:
                manifest = maker.store.manifest(key)
            except EngineRefusedError:
                continue
            found.append(_Proven(backend, one, manifest.build["latency_ms"], manifest.build["eager_ms"]))
    return found
