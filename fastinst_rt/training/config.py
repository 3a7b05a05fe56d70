"""Training configurations: small typed TOML files in which an unknown key is an error."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from fastinst_rt.errors import UsageError

BUNDLED = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class ModelConfig:
    """The network to train.

    Attributes:
        name: see `fastinst-rt models`.
        options: ablation switches of `create_model`.
        backbone: checkpoint with ImageNet weights of the backbone, or None for random weights.
        weights: weights of the whole network to start from, or None.
        freeze: parameters whose names start with one of these do not learn.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    backbone: Path | None = None
    weights: Path | None = None
    freeze: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataConfig:
    """The data set.

    Attributes:
        format: what the files are, and for segments what is learnt from them.
        annotations: the COCO json.
        images: the folder of its pictures.
        segments: the folder of the panoptic PNGs; by default beside the json (COCO panoptic).
        root: the folder with leftImg8bit and gtFine (Cityscapes).
        split: which part (Cityscapes).
        incomplete: values of an image record's `source` whose labels miss instances of labelled classes (COCO).
        emphasis: how many times as often pictures with a class are drawn, by class name; the greatest counts.
    """

    format: Literal["coco", "coco-panoptic", "cityscapes-instances", "cityscapes-panoptic", "cityscapes-semantic"]
    annotations: Path | None = None
    images: Path | None = None
    segments: Path | None = None
    root: Path | None = None
    split: str = "train"
    incomplete: tuple[str, ...] = ()
    emphasis: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class AugmentationConfig:
    """How samples are drawn; each recipe reads the fields that `training/recipes.py` names for it.

    Attributes:
        recipe: "coco" (published), "crop" (Cityscapes, published) or "jitter" (strong, for little data).
        colour: share of samples with colour jitter; the published recipes know 0 and 1 only.
        instance_weights: weight of each class where an instance is drawn, to be pasted or zoomed on, by name; 0 for
            classes that are missing (jitter).
    """

    recipe: Literal["coco", "crop", "jitter"]
    colour: float = 0.0
    short_sides: tuple[int, ...] = tuple(range(416, 641, 32))
    max_side: int = 853
    crop_short_sides: tuple[int, ...] = (400, 500, 600)
    crop: tuple[int, int] = (384, 600)
    sizes: tuple[tuple[int, int], ...] = ((320, 416), (416, 320), (352, 352))
    zoom: tuple[float, float] = (0.8, 1.8)
    mosaic: float = 0.0
    paste: float = 0.0
    focus: float = 0.0
    turn: float = 0.0
    instance_weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LossConfig:
    """The objective (paper sections 3.3 and 3.4); `mask_quality` and `exclusive_classes` are ours, see `Criterion`."""

    gt_mask_guidance: bool = True
    mask_quality: bool = False
    exclusive_classes: bool = False
    location_cost: bool = True
    num_points: int = 12544
    classification: float = 2.0
    mask: float = 5.0
    dice: float = 5.0
    proposal: float = 20.0
    no_object: float = 0.1


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW.

    Attributes:
        lr: learning rate of the heads.
        backbone_factor: the backbone's, relative to `lr`.
        weight_decay: of everything but norms and embeddings.
        clip_norm: gradients are scaled down to this norm; 0 leaves them alone.
        ema_decay: decay an iteration of the averaged weights; 0 keeps none.
    """

    lr: float = 1e-4
    backbone_factor: float = 0.1
    weight_decay: float = 0.05
    clip_norm: float = 0.0
    ema_decay: float = 0.0


@dataclass(frozen=True)
class ScheduleConfig:
    """The learning rate over time: warm-up, constant with drops, and a linear cooldown to zero at the end.

    Attributes:
        iterations: optimizer steps.
        warmup: steps from 0.001 x to the full rate.
        drop_at: steps at which the rate is multiplied by `drop_factor`.
        cooldown: steps at the end over which the rate falls to zero in a straight line.
    """

    iterations: int
    warmup: int = 10
    drop_at: tuple[int, ...] = ()
    drop_factor: float = 0.1
    cooldown: int = 0


@dataclass(frozen=True)
class RunConfig:
    """How it is run.

    Attributes:
        batch: pictures an optimizer step, over all processes and accumulation parts.
        accumulate: parts a process cuts its share of the batch into.
        amp: arithmetic of the network under autocast.
        workers: loader processes.
        seed: of everything that is random.
        checkpoint_every: steps between checkpoints.
        log_every: steps between rows of the log.
    """

    batch: int = 16
    accumulate: int = 1
    amp: Literal["off", "fp16", "bf16"] = "off"
    workers: int = 4
    seed: int = 0
    checkpoint_every: int = 5000
    log_every: int = 20

    def __post_init__(self) -> None:
        least = {"batch": 1, "accumulate": 1, "checkpoint_every": 1, "log_every": 1, "workers": 0, "seed": 0}
        for name, lowest in least.items():
            _checked(getattr(self, name) >= lowest, getattr(self, name), f"run.{name}", f"at least {lowest}")


@dataclass(frozen=True)
class TrainConfig:
    """A whole training run."""

    model: ModelConfig
    data: DataConfig
    augmentation: AugmentationConfig
    schedule: ScheduleConfig
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the checkpoint and the log."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain


def load_config(name: str | Path, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> TrainConfig:
    """Read a configuration.

    Args:
        name: a TOML file, or the name of a bundled configuration (coco, cityscapes, nano, ...).
        overrides: values by section that replace those of the file.

    Raises:
        UsageError: no such file, no TOML, an unknown or missing key, a value of the wrong type.
    """
    path = Path(name)
    if not path.suffix:
        path = BUNDLED / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        known = ", ".join(sorted(p.stem for p in BUNDLED.glob("*.toml")))
        raise UsageError(
            f"The configuration {name} cannot be read: {error.strerror}.", f"Give a TOML file, or one of: {known}."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The configuration {path} is not TOML: {error}.", "Correct the file.") from error
    for section, values in (overrides or {}).items():
        table[section] = {**table.get(section, {}), **values}
    config = _read(TrainConfig, table, "")
    assert isinstance(config, TrainConfig)
    return config


def _read(kind: Any, value: Any, where: str) -> Any:
    """`value` as TOML gave it, as the type that an annotation asks for."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        return _read(arguments[0], value, where)  # every optional is written `T | None`, and TOML knows no null
    if origin is Literal:
        return _checked(value in arguments, value, where, "one of " + ", ".join(map(str, arguments)))
    if is_dataclass(kind):
        return _read_table(kind, value, where)
    if origin is dict:
        _checked(isinstance(value, dict), value, where, "a table")
        return {str(k): _read(arguments[1], v, f"{where}.{k}") for k, v in value.items()}
    if origin is tuple:
        _checked(isinstance(value, list), value, where, "a list")
        kinds = (arguments[0],) * len(value) if arguments[-1] is Ellipsis else arguments
        _checked(len(kinds) == len(value), value, where, f"a list of {len(kinds)} values")
        return tuple(_read(k, v, where) for k, v in zip(kinds, value, strict=True))
    if kind is Path:
        return Path(_checked(isinstance(value, str), value, where, "a path")).expanduser()
    if kind is float:
        return float(_checked(_is_number(value), value, where, "a number"))
    plain = {int: "a whole number", str: "text", bool: "true or false"}
    right = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    return _checked(right, value, where, plain[kind])


def _read_table(kind: Any, value: Any, where: str) -> Any:
    _checked(isinstance(value, dict), value, where, "a table")
    hints = get_type_hints(kind)
    unknown = sorted(set(value) - set(hints))
    if unknown:
        place = f"{where}.{unknown[0]}" if where else unknown[0]
        raise UsageError(f"The key {place} is unknown.", f"Known here: {', '.join(hints)}.")
    arguments = {key: _read(hints[key], v, f"{where}.{key}" if where else key) for key, v in value.items()}
    try:
        return kind(**arguments)
    except TypeError as error:
        needed = [f.name for f in fields(kind) if f.name not in value]
        raise UsageError(f"The section [{where}] lacks a key: {error}.", f"Not given: {', '.join(needed)}.") from error


def _checked(right: bool, value: Any, where: str, wanted: str) -> Any:
    if not right:
        raise UsageError(f"The value {value!r} of {where} is not {wanted}.", "Correct it in the configuration.")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value
