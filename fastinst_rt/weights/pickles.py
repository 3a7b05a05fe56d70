"""Tensors out of pickled checkpoints without running anything that the file asks for."""

import collections
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from fastinst_rt.errors import WeightsError

_FETCH_AGAIN = "Fetch the file again; released ones come with `fastinst-rt weights pull MODEL`."


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU, in the order of the file.

    Three containers are read: torch's zip file, torch's older pickle stream, and the plain pickle of NumPy arrays that
    detectron2 publishes backbones in. The state dict may be the whole file or its entry `model`. The only things a file
    can have made are tensors, NumPy arrays, numbers, text and containers of these.

    Raises:
        WeightsError: the file is missing, damaged, asks for anything else to be made or run, or holds no state dict.
    """
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise WeightsError(
            f"The checkpoint {path} cannot be read: {error.strerror}.", "Check the path given with --weights."
        ) from error
    if start.lstrip()[:1] == b"<":
        raise WeightsError(f"The file {path} is a web page, not a checkpoint.", _FETCH_AGAIN)
    if start.startswith(b"PK") and not zipfile.is_zipfile(path):
        raise WeightsError(f"The checkpoint {path} is damaged: its end is missing.", _FETCH_AGAIN)
    try:
        content = _read_plain_pickle(path) if _is_plain_pickle(path) else _read_torch(path)
    except WeightsError:
        raise
    except Exception as error:  # a damaged stream can fail in any opcode, with any kind of exception
        raise WeightsError(f"The checkpoint {path} is damaged: {_first_sentence(error)}.", _FETCH_AGAIN) from error
    return _state_dict(content, path)


def _is_plain_pickle(path: Path) -> bool:
    """Whether the file is one plain pickle: no zip of torch's, and not its older stream, which starts with a number."""
    if zipfile.is_zipfile(path):
        return False
    with path.open("rb") as file:
        start = file.read(64)
    magic = torch.serialization.MAGIC_NUMBER.to_bytes(10, "little")
    return start[:1] == b"\x80" and magic not in start


def _read_torch(path: Path) -> Any:
    with torch.serialization.safe_globals(_NUMPY_FOR_TORCH):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            # torch's own text advises to load without safety: only the name that it refused is taken from it
            if refused := re.search(r"GLOBAL ((?:\w+\.)+\w+)", str(error)):
                _refuse(path, refused[1])
            raise pickle.UnpicklingError("it is no pickle that torch writes") from error


def _read_plain_pickle(path: Path) -> Any:
    with path.open("rb") as file:
        return _ArraysOnly(file, path).load()


class _ArraysOnly(pickle.Unpickler):
    """A pickle reader that can make NumPy arrays and containers, and refuses every other name."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, encoding="latin1")  # arrays pickled by Python 2 carry their bytes as text
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            _refuse(self._path, f"{module}.{name}")
        return _ALLOWED[module, name]


def _encode(text: str, encoding: str) -> bytes:
    """What `_codecs.encode` is used for in a pickle of protocol 2: bytes written as latin-1 text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


_RECONSTRUCT = np.zeros(0).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_FROM_BUFFER = np.zeros(0).__reduce_ex__(5)[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
} | {
    (f"numpy.{core}.{module}", name): function
    for core in ("core", "_core")  # renamed in NumPy 2
    for module, name, function in (
        ("multiarray", "_reconstruct", _RECONSTRUCT),
        ("multiarray", "scalar", _SCALAR),
        ("numeric", "_frombuffer", _FROM_BUFFER),
    )
}
_NUMPY_FOR_TORCH: list[Any] = [(function, ".".join(place)) for place, function in _ALLOWED.items()] + [
    type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?")
]


def _refuse(path: Path, name: str) -> NoReturn:
    raise WeightsError(
        f"The checkpoint {path} asks for {name}, which no file of plain tensors needs; nothing of it was run.",
        "Use a checkpoint from a source that you trust, saved as a state dict of tensors.",
    )


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(
            f"The checkpoint {path} holds no state dict but {_kind(content)}.",
            "Give a released checkpoint, or a state dict of tensors by name, bare or under the key model.",
        )
    tensors: dict[str, Tensor] = {}
    for name, value in content.items():
        if isinstance(value, np.ndarray) and value.dtype != object:
            value = torch.from_numpy(np.ascontiguousarray(value))
        if not isinstance(value, Tensor):
            raise WeightsError(
                f"The entry {name} of the checkpoint {path} is {_kind(value)}, not a tensor.",
                "Give a released checkpoint, or a state dict of tensors by name, bare or under the key model.",
            )
        tensors[str(name)] = value
    return tensors


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a dict with nothing in it" if not value else "a dict"
    return f"a value of type {type(value).__name__}"


def _first_sentence(error: Exception) -> str:
    text = re.split(r"\.\s|\n", str(error).strip())[0]
    return text.rstrip(".") or type(error).__name__
