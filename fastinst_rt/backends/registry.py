"""The backends that compile, by name. (The eager backend compiles nothing: see `eager.py`.)"""

from fastinst_rt.backends.base import Backend
from fastinst_rt.backends.eager import PRECISIONS
from fastinst_rt.backends.hardware import device_kind
from fastinst_rt.backends.inductor import InductorBackend
from fastinst_rt.backends.openvino import OpenVinoBackend
from fastinst_rt.backends.tensorrt import TensorRTBackend
from fastinst_rt.errors import EngineError, UsageError

BACKENDS: dict[str, Backend] = {
    backend.name: backend for backend in (TensorRTBackend(), OpenVinoBackend(), InductorBackend())
}
"""In the order in which `auto` prefers them; what cannot use a device says so itself."""


def get_backend(name: str) -> Backend:
    """The compiling backend of that name.

    Raises:
        UsageError: if there is none.
    """
    if name not in BACKENDS:
        raise UsageError(f"There is no backend {name!r}.", f"Choose one of: auto, {', '.join(BACKENDS)}, eager.")
    return BACKENDS[name]


def usable(name: str, device: str, precision: str | None) -> tuple[Backend, str]:
    """The backend and the precision it will build, checked against what is installed here.

    Raises:
        EngineError: with the backend's own reason and remedy.
    """
    backend = get_backend(name)
    if obstacle := backend.obstacle(device, precision):
        raise EngineError(f"{obstacle.reason.rstrip('.')}.", obstacle.remedy)
    return backend, precision or backend.precisions(device_kind(device))[0]


def precisions(name: str, device: str) -> tuple[str, ...]:
    """What a backend, eager included, can run on "cpu" or "cuda"."""
    return PRECISIONS[device] if name == "eager" else get_backend(name).precisions(device)
