"""Which file holds a model's weights, and loading whatever kind of file it is."""

from importlib import resources
from pathlib import Path

from torch import nn

from fastinst_rt.errors import WeightsError
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.spec import ModelSpec
from fastinst_rt.models.zoo import get_spec
from fastinst_rt.weights.download import cache_folder, check_recorded
from fastinst_rt.weights.official import load_official_checkpoint
from fastinst_rt.weights.store import WeightsMetadata, is_safetensors, load_weights, read_metadata, spec_of


def bundled_weights(model: str) -> Path | None:
    """The weights of a model that are part of this package, None if it has none."""
    file = resources.files("fastinst_rt.weights").joinpath("bundled", f"{model}.safetensors")
    return Path(str(file)) if file.is_file() else None


def cached_weights(spec: ModelSpec, folder: Path | None = None) -> Path | None:
    """The released checkpoint of a model in the cache folder, None if it is not there."""
    if spec.checkpoint is None:
        return None
    file = (folder or cache_folder()) / spec.checkpoint
    return file if file.is_file() else None


def resolve_weights(spec: ModelSpec, weights: Path | str | None = None, *, cache: Path | None = None) -> Path:
    """The file to load a model's weights from: the one given, else the bundled one, else the downloaded one.

    A downloaded file is compared with the sha256 recorded for it.

    Args:
        spec: the model.
        weights: a file that the user named.
        cache: cache folder; default `download.cache_folder()`.

    Raises:
        WeightsError: there is none, or the downloaded one has changed.
    """
    if weights is not None:
        path = Path(weights)
        if not path.is_file():
            raise WeightsError(f"There is no weights file {path}.", "Check the path given with --weights.")
        return path
    if (bundled := bundled_weights(spec.name)) is not None:
        return bundled
    if (cached := cached_weights(spec, cache)) is not None:
        check_recorded(cached)
        return cached
    if spec.checkpoint is None:
        raise WeightsError(
            f"No weights were released for {spec.name}.", "Train them with `fastinst-rt train`, and give --weights."
        )
    raise WeightsError(
        f"The weights of {spec.name} are not on this machine.", f"Run `fastinst-rt weights pull {spec.name}`."
    )


def load_any(net: nn.Module, path: Path | str) -> WeightsMetadata:
    """Load our own safetensors or a released checkpoint, whichever the file is, strictly.

    Raises:
        WeightsError: the file is missing, damaged or does not fit the network.
    """
    path = Path(path)
    if is_ours(path):
        return load_weights(net, path)
    return WeightsMetadata(spec_of(net), load_official_checkpoint(net, path))


def load_network(
    name: str, weights: Path | str | None = None, *, cache: Path | None = None
) -> tuple[FastInst, WeightsMetadata, Path]:
    """A named model with its weights, in eval mode; with what the weights say of themselves and the file they are from.

    A file of ours says how its network is built: one trained with other classes, sizes or switches than the named model
    has comes back as it was trained.

    Args:
        name: a name of `list_models()`.
        weights, cache: as for `resolve_weights`.

    Raises:
        UsageError: no model has that name.
        WeightsError: there are no weights, or they are damaged or of another model.
    """
    spec = get_spec(name)
    path = resolve_weights(spec, weights, cache=cache)
    if is_ours(path) and (written := read_metadata(path).spec).name == name:
        spec = written
    net = FastInst(spec).eval()
    return net, load_any(net, path), path


def is_ours(path: Path) -> bool:
    """Whether a file is (or calls itself) safetensors; any other is read as a released checkpoint."""
    return path.suffix == ".safetensors" or is_safetensors(path)
