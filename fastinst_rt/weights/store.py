"""Our own weight files: safetensors, with what they are written in the header."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fastinst_rt.categories import Categories
from fastinst_rt.errors import OutputError, WeightsError
from fastinst_rt.models.spec import ModelSpec
from fastinst_rt.models.zoo import get_spec, list_models
from fastinst_rt.weights.strict import load_strict

FORMAT_VERSION = 1
_FORMAT = "fastinst-rt"
_MAX_HEADER = 100_000_000  # bytes; the limit of safetensors itself
_OWN_FIELDS = ("format", "format_version", "model", "classes", "architecture", "provenance")
_PUBLISHED = ("checkpoint", "ap_val", "ap_test", "params_m", "gflops", "fps_v100")


@dataclass(frozen=True)
class WeightsMetadata:
    """What a weight file says of itself.

    Attributes:
        spec: the network that the weights are for: model name, switches, input sizes and classes.
        provenance: where the weights come from, one line.
        notes: whatever else the writer put down, text by text.
        format_version: of the header.
    """

    spec: ModelSpec
    provenance: str
    notes: Mapping[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION


def save_weights(net: nn.Module, path: Path, metadata: Mapping[str, str], *, half: bool = False) -> WeightsMetadata:
    """Write the state dict of `net` as safetensors; the file appears whole or not at all.

    Args:
        net: a network with a `spec` (of `create_model`), which says the model and the classes.
        path: the file to write; an existing one is replaced.
        metadata: must have `provenance` (one line, where the weights come from); other entries are kept as notes.
        half: store floating-point tensors as float16.

    Raises:
        OutputError: the file cannot be written, or a value does not fit into float16.
    """
    path = Path(path)
    notes = {name: text for name, text in metadata.items() if name != "provenance"}
    if reserved := [name for name in notes if name in _OWN_FIELDS]:
        raise ValueError(f"header fields written by save_weights itself: {', '.join(reserved)}")
    written = WeightsMetadata(spec_of(net), metadata["provenance"], notes)
    tensors = {name: _storable(name, tensor, half) for name, tensor in net.state_dict().items()}
    partial = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, partial, metadata=_header(written))
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            partial.unlink()
        raise OutputError(
            f"The weights cannot be written to {path}: {_reason(error)}.", "Choose another place with --output."
        ) from error
    return written


def load_weights(net: nn.Module, path: Path) -> WeightsMetadata:
    """Load a file of `save_weights` into `net`, strictly; 16-bit tensors are widened to the network's own type.

    Raises:
        WeightsError: the file is missing, damaged, of another model or other classes; the sentence says what differs.
    """
    path = Path(path)
    metadata = read_metadata(path)
    have, asked = metadata.spec.name, spec_of(net).name
    if have != asked:
        raise WeightsError(
            f"The weights {path} are those of {have}, not of {asked}.",
            f"Give --model {have}, or the weights of {asked}.",
        )
    with _open(path) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the handle is no dict
    load_strict(net, tensors, path)
    return metadata


def read_metadata(path: Path) -> WeightsMetadata:
    """The header of a file of `save_weights`; the tensors are not read.

    Raises:
        WeightsError: the file is missing, damaged or not written by `save_weights`.
    """
    path = Path(path)
    with _open(path) as file:
        header = file.metadata() or {}
    if header.get("format") != _FORMAT:
        raise WeightsError(
            f"The file {path} holds tensors but does not say of which model.",
            "Give a file written by `fastinst-rt weights convert` or by training.",
        )
    try:
        version = int(header["format_version"])
        if version > FORMAT_VERSION:
            raise WeightsError(
                f"The weights {path} are in format {version}; this version reads up to {FORMAT_VERSION}.",
                "Update fastinst-rt.",
            )
        return WeightsMetadata(
            spec=_spec_from(header),
            provenance=header["provenance"],
            notes={name: text for name, text in header.items() if name not in _OWN_FIELDS},
            format_version=version,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"The header of the weights {path} cannot be understood: {_reason(error)}.", "Convert the file again."
        ) from error


def weights_sha256(path: Path) -> str:
    """Hex digest of a file's content.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(Path(path), error) from error


def is_safetensors(path: Path) -> bool:
    """Whether the file starts like safetensors: the header's length in 8 bytes, then a JSON object.

    Raises:
        WeightsError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise _unreadable(path, error) from error
    return start[8:] == b"{" and int.from_bytes(start[:8], "little") <= _MAX_HEADER


def spec_of(net: Any) -> ModelSpec:
    """The row of the zoo, perhaps changed by switches, that a network was built from."""
    spec: ModelSpec = net.spec
    return spec


def _header(metadata: WeightsMetadata) -> dict[str, str]:
    architecture = asdict(metadata.spec)
    model, classes = architecture.pop("name"), architecture.pop("categories")
    return {
        "format": _FORMAT,
        "format_version": str(metadata.format_version),
        "model": model,
        "classes": json.dumps(classes),
        "architecture": json.dumps({key: value for key, value in architecture.items() if key not in _PUBLISHED}),
        "provenance": metadata.provenance,
        **metadata.notes,
    }


def _spec_from(header: Mapping[str, str]) -> ModelSpec:
    classes = {key: tuple(values) for key, values in json.loads(header["classes"]).items()}
    architecture: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in json.loads(header["architecture"]).items()
    }
    name = header["model"]
    named = get_spec(name) if name in list_models() else None
    if named is not None:
        architecture.setdefault("nms_iou", named.nms_iou)  # no part of the weights: older files do not tell it
    written = ModelSpec(name=name, categories=Categories(**classes), **architecture)
    # the published figures are the zoo's to tell, and only of the model as published
    unpublished: dict[str, Any] = dict.fromkeys(_PUBLISHED)
    return named if named is not None and replace(named, **unpublished) == written else written


def _storable(name: str, tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu()
    if half and tensor.is_floating_point():
        narrow = tensor.half()
        if not torch.isfinite(narrow).all():
            raise OutputError(f"A value of {name} does not fit into 16 bits.", "Store the weights as fp32.")
        tensor = narrow
    return tensor.clone(memory_format=torch.contiguous_format)  # safetensors refuses tensors that share memory


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except OSError as error:
        raise _unreadable(path, error) from error
    except SafetensorError as error:
        raise WeightsError(
            f"The weights {path} are damaged: {_reason(error)}.", "Fetch or convert the file again."
        ) from error


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(f"The weights {path} cannot be read: {_reason(error)}.", "Check the path given with --weights.")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).strip().rstrip(".") or type(error).__name__
