"""What weights are on this machine; fetching, converting and verifying them by model name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastinst_rt.errors import UsageError, WeightsError
from fastinst_rt.models.spec import ModelSpec
from fastinst_rt.models.zoo import get_spec, list_models
from fastinst_rt.weights.download import cache_folder, check_recorded, pull
from fastinst_rt.weights.locate import bundled_weights, cached_weights, is_ours, load_network
from fastinst_rt.weights.official import released_model
from fastinst_rt.weights.pickles import read_tensors
from fastinst_rt.weights.store import WeightsMetadata, read_metadata, save_weights, weights_sha256
from fastinst_rt.weights.transfer import Progress


@dataclass(frozen=True)
class Holding:
    """The weights of one model, as far as this machine has them.

    Attributes:
        spec: the model.
        origin: "bundled" (part of the package), "cached" (downloaded), "released" (can be pulled) or "none".
        path: the file, None where there is none here.
    """

    spec: ModelSpec
    origin: str
    path: Path | None


@dataclass(frozen=True)
class Verified:
    """A weight file that is whole and fits its model.

    Attributes:
        path: the file.
        metadata: what it says of itself.
        sha256: hex digest of its content.
    """

    path: Path
    metadata: WeightsMetadata
    sha256: str


def holdings(cache: Path | None = None) -> list[Holding]:
    """One entry a model, in the order of the zoo."""
    return [_holding(get_spec(name), cache) for name in list_models()]


def _holding(spec: ModelSpec, cache: Path | None) -> Holding:
    if (bundled := bundled_weights(spec.name)) is not None:
        return Holding(spec, "bundled", bundled)
    if (cached := cached_weights(spec, cache)) is not None:
        return Holding(spec, "cached", cached)
    return Holding(spec, "none" if spec.checkpoint is None else "released", None)


def pull_model(
    spec: ModelSpec,
    *,
    folder: Path | None = None,
    base_url: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Path:
    """The released checkpoint of a model; arguments and errors as of `download.pull`.

    Raises:
        WeightsError: also if none was released.
    """
    if spec.checkpoint is None:
        bundled = bundled_weights(spec.name) is not None
        raise WeightsError(
            f"There is no release of {spec.name} to download.",
            "Its weights are part of this package." if bundled else "Train it with `fastinst-rt train`.",
        )
    return pull(
        spec.checkpoint,
        folder=folder,
        base_url=base_url,
        force=force,
        progress=progress,
        on_wait=on_wait,
        fits=lambda tensors: released_model(tensors) == spec.name,
    )


def convert(
    source: str, output: Path, *, model: str | None = None, half: bool = False, cache: Path | None = None
) -> WeightsMetadata:
    """Write the weights of `source` as safetensors with model, classes and provenance in the header.

    Args:
        source: a model name (its own weights), or a checkpoint file.
        output: the file to write; must end in .safetensors, so that it is found to be one.
        model: whose weights a checkpoint file holds; by default found from its tensors.
        half: store 16 bits.
        cache: cache folder.

    Raises:
        UsageError: `output` ends in something else.
        WeightsError: the source is missing, damaged or does not fit the model.
        OutputError: the file cannot be written.
    """
    if output.suffix != ".safetensors":
        raise UsageError(f"The output {output} does not end in .safetensors.", "Give --output NAME.safetensors.")
    name, weights = _model_and_file(source, model)
    net, metadata, path = load_network(name, weights, cache=cache)
    provenance = metadata.provenance
    if not is_ours(path):
        provenance += f", sha256 {weights_sha256(path)}"
    return save_weights(net, output, {**metadata.notes, "provenance": provenance}, half=half)


def verify(source: str, *, model: str | None = None, cache: Path | None = None) -> Verified:
    """Read all of a weight file, load it strictly into its model, and compare a downloaded one with its record.

    Args:
        source, model, cache: as for `convert`.

    Raises:
        WeightsError: it is missing, damaged, changed since its download, or does not fit.
    """
    name, weights = _model_and_file(source, model)
    if weights is not None and weights.is_file() and weights.parent == (cache or cache_folder()):
        check_recorded(weights)
    _, metadata, path = load_network(name, weights, cache=cache)
    return Verified(path, metadata, weights_sha256(path))


def _model_and_file(source: str, model: str | None) -> tuple[str, Path | None]:
    """The model that `source` is of, and the file if it names one."""
    path = Path(source)
    if source in list_models() and not path.is_file():
        return source, None
    if not path.is_file():
        raise WeightsError(
            f"There is neither a model nor a checkpoint file named {source}.", "See `fastinst-rt weights list`."
        )
    if model is not None:
        return get_spec(model).name, path
    found = read_metadata(path).spec.name if is_ours(path) else released_model(read_tensors(path))
    if found is None:
        raise WeightsError(f"The tensors of {path} are of no released model.", "Say which model it is with --model.")
    return found, path
