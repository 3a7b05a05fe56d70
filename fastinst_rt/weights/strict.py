"""Putting tensors into a network: all of them, each in its place and of its shape, or none."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from fastinst_rt.errors import WeightsError

_SHOWN = 3  # names a sentence can carry; the count says how many there are


def load_strict(
    net: nn.Module,
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    spell: Callable[[str], str] = str,
    remedy: str = "Give the checkpoint of this model, or the model of this checkpoint with --model.",
) -> None:
    """Copy `tensors` into the parameters and buffers of the same names.

    The network's own types and devices stay: 16-bit values are widened. Nothing is copied unless everything fits.

    Args:
        net: the network, any mode.
        tensors: by the network's names.
        path: the file they came from, for messages.
        spell: the name to show for one of the network's names, where the file spells it differently.
        remedy: what a user can do if the file does not fit.

    Raises:
        WeightsError: a tensor is missing, too many, of another shape or no number of the same kind; they are named.
    """
    places = net.state_dict()
    missing = [spell(name) for name in places if name not in tensors]
    extra = [spell(name) for name in tensors if name not in places]
    both = [name for name in places if name in tensors]
    misshapen = [
        f"{spell(name)} {_shape(tensors[name])} instead of {_shape(places[name])}"
        for name in both
        if tensors[name].shape != places[name].shape
    ]
    mistyped = [
        f"{spell(name)} {_dtype(tensors[name])} instead of {_dtype(places[name])}"
        for name in both
        if tensors[name].is_floating_point() != places[name].is_floating_point()
    ]
    differences = [
        f"{_count(names, 'tensor')} {what}: {_some(names)}"
        for names, what in (
            (missing, "missing"),
            (extra, "too many"),
            (misshapen, "of another shape"),
            (mistyped, "of another type"),
        )
        if names
    ]
    if differences:
        name = getattr(getattr(net, "spec", None), "name", "this network")
        raise WeightsError(f"The checkpoint {path} does not fit {name}: {'; '.join(differences)}.", remedy)
    with torch.no_grad():
        for key, place in places.items():
            place.copy_(tensors[key])


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _count(names: list[str], noun: str) -> str:
    return f"{len(names)} {noun}{'s' if len(names) > 1 else ''}"


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
