"""What every suite needs: settings, networks and engines to measure, and a run that turns variants into a report."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import fastinst_rt
from fastinst_rt.backends.base import Engine, Mode
from fastinst_rt.backends.hardware import resolve_device
from fastinst_rt.backends.manifest import read_manifest
from fastinst_rt.backends.opening import open_engine
from fastinst_rt.bench import environment
from fastinst_rt.bench.measure import Measurement, Say, Variant, measure, say_nothing
from fastinst_rt.bench.protocol import FULL, Protocol
from fastinst_rt.bench.report import Check, Report, Row, Subject
from fastinst_rt.bench.timers import Call, host_timer
from fastinst_rt.bench.yardstick import KIND, yardstick
from fastinst_rt.bench.yardstick import NAME as YARDSTICK
from fastinst_rt.errors import FastInstError, WeightsError
from fastinst_rt.models.fastinst import FastInst
from fastinst_rt.models.spec import ModelSpec
from fastinst_rt.models.zoo import random_model
from fastinst_rt.preprocess import geometry
from fastinst_rt.results import Geometry, Size
from fastinst_rt.segmenter import Segmenter

DEFAULT_MODEL = "fastinst-nano"

COCO_FRAME = (480, 640)
"""The most common shape of COCO's pictures; the rows beside the paper's figures are measured on it."""

RANDOM = "random, seed 0"
KEPT = 10
"""Instances kept on random weights: a little more than the 7 that a picture of COCO holds on average."""

RANDOM_NOTE = (
    "* random weights (seed 0). The network does the same arithmetic whatever its weights are; selecting and enlarging "
    "depend on the instances kept. On random weights no score reaches a threshold, so the best "
    f"{KEPT} are kept, with whatever masks they have."
)


def starred(text: str, weights: str) -> str:
    """The text with the star that `RANDOM_NOTE` explains, if the weights are random."""
    return f"{text} *" if weights == RANDOM else text


@dataclass(frozen=True)
class Settings:
    """What the user asked of a suite.

    Attributes:
        protocol: how long and how often.
        model: for the suites that measure one model.
        weights: a checkpoint for `model`; None for what is on this machine.
        backend, precision, device, engine_dir: of the engines; None or "auto" as everywhere else.
        score: threshold of the instances kept.
        clip: a video for suites `stages` and `e2e`; None for the demo clip, or a drawn one.
        short_side, max_side: network input; None for the model's published sizes.
        say: takes a line of progress.
    """

    protocol: Protocol = FULL
    model: str = DEFAULT_MODEL
    weights: Path | None = None
    backend: str = "auto"
    precision: str | None = None
    device: str = "auto"
    engine_dir: Path | None = None
    score: float = 0.5
    clip: Path | None = None
    short_side: int | None = None
    max_side: int | None = None
    say: Say = field(default=say_nothing, repr=False)

    @property
    def quick(self) -> bool:
        """Whether less of everything is measured than the full protocol asks for."""
        return self.protocol.seconds < FULL.seconds


def network(name: str, weights: Path | None = None, **switches: Any) -> tuple[FastInst, str, str | None]:
    """A network in eval mode with the weights that are here, otherwise random ones (seed 0).

    Args:
        name: of the model.
        weights: a checkpoint the user named; it must load.
        switches: ablation switches of `create_model`; with any, the weights are random.

    Returns:
        The network, what its weights are (for people), and the sha256 of their file (None for random ones).

    Raises:
        WeightsError: if the checkpoint named is missing or another model's.
    """
    from fastinst_rt.weights.locate import load_network
    from fastinst_rt.weights.store import weights_sha256

    if not switches:
        try:
            net, _, path = load_network(name, weights)
            return net, path.name, weights_sha256(path)
        except WeightsError:
            if weights is not None:
                raise
    return random_model(name, **switches), RANDOM, None


def engine_for(
    net: FastInst, weights_sha256: str | None, shape: Geometry, settings: Settings, mode: Mode = "latency"
) -> Engine:
    """The engine of `settings` for one input shape.

    Args:
        weights_sha256: as `network` returns it.
        mode: as of `open_engine`.

    Raises:
        EngineError: if it cannot be built or is refused.
    """

    def progress(step: str, done: float | None) -> None:
        settings.say(step if done is None else f"{step} ({done:.0%})")

    return open_engine(
        net,
        model=net.spec.name,
        resized=shape.resized,
        weights_sha256=weights_sha256,
        backend=settings.backend,
        precision=settings.precision,
        device=settings.device,
        engine_dir=settings.engine_dir,
        mode=mode,
        on_progress=progress,
    )


def segmenter_on(engine: Engine, net: FastInst, weights: str, settings: Settings, exact: bool = False) -> Segmenter:
    """A segmenter over an engine that is open already, for pictures of the shape that it was opened for.

    Args:
        weights: as `network` returns it; on random ones the best `KEPT` instances are kept whatever their score.
        settings: the sides that the engine's shape came from, and the threshold with real weights.
        exact: the published order of operations.
    """
    random = weights == RANDOM
    short_side, max_side = input_sides(net.spec, settings)
    return Segmenter(
        lambda _shape, _progress: engine,
        net.spec.categories,
        short_side=short_side,
        max_side=max_side,
        score=0.0 if random else settings.score,
        max_instances=KEPT if random else 100,
        exact=exact,
        nms_iou=None if random else net.spec.nms_iou,
    )


def input_sides(spec: ModelSpec, settings: Settings) -> tuple[int, int]:
    """Short and longest side of the network's input: the settings', otherwise the model's own."""
    return settings.short_side or spec.short_side, settings.max_side or spec.max_side


def shape_for(spec: ModelSpec, settings: Settings, frame: Size) -> Geometry:
    """How a frame of (height, width) becomes the network's input."""
    return geometry(frame, *input_sides(spec, settings))


def paper_settings(settings: Settings) -> Settings:
    """For suites of many networks: on a CPU, "auto" means eager, since building an engine takes longer than measuring
    it; on a GPU it means what it means everywhere."""
    if settings.backend == "auto" and resolve_device(settings.device) == "cpu":
        return replace(settings, backend="eager")
    return settings


def engine_sha256(engine: Engine) -> str | None:
    """One hash over all files of a stored engine, None for an engine without an artefact."""
    if engine.info.folder is None:
        return None
    files = read_manifest(engine.info.folder, "Build the engine again.").files
    return hashlib.sha256("".join(sorted(str(facts["sha256"]) for facts in files.values())).encode()).hexdigest()


def subject_of(engine: Engine, shape: Geometry, weights: str, **fields: Any) -> Subject:
    """A subject with everything the engine says of itself; `fields` are the others (`id`, `label`, `level`, ...)."""
    info = engine.info
    return Subject(
        model=info.model or None,
        weights=weights,
        backend=info.backend,
        precision=info.precision,
        device=info.device,
        batch=info.batch,
        frame=shape.frame,
        resized=shape.resized,
        padded=shape.padded,
        engine_sha256=engine_sha256(engine),
        **fields,
    )


@dataclass
class _Entry:
    subject: Subject
    variant: Variant | None = None
    same_as: str | None = None
    skipped: str | None = None
    measurement: Measurement | None = None
    facts: dict[str, Any] = field(default_factory=dict)


class Run:
    """Collects variants, measures them interleaved with the yardstick, and writes the report.

    Args:
        suite, title: of the report.
        settings: what the user asked for.
    """

    def __init__(self, suite: str, title: str, settings: Settings) -> None:
        self._suite, self._title, self._settings = suite, title, settings
        self._entries: dict[str, _Entry] = {}
        self._before = environment.condition()
        self.yardstick: Measurement | None = None

    def add(self, subject: Subject, variant: Variant, **facts: Any) -> None:
        """A row to measure; its call is tried once, and one that fails becomes a skipped row."""
        begin = perf_counter()
        try:
            variant.call()
        except (RuntimeError, MemoryError, FastInstError) as error:
            self.skip(subject, _reason(error), **facts)
        else:
            tried = replace(variant, first_call=perf_counter() - begin)
            self._entries[subject.id] = _Entry(subject, tried, facts=facts)

    def attempt(self, subject: Subject, make: Callable[[], None], **facts: Any) -> None:
        """Run `make`, which adds rows; if it fails before it added one, the row is `subject`, skipped."""
        try:
            make()
        except (RuntimeError, MemoryError, FastInstError) as error:
            self.skip(subject, _reason(error), **facts)

    def skip(self, subject: Subject, reason: str, **facts: Any) -> None:
        """A row that cannot be measured, and why (one sentence)."""
        self._entries[subject.id] = _Entry(subject, skipped=reason, facts=facts)

    def share(self, subject: Subject, same_as: str, **facts: Any) -> None:
        """A row that is by construction the same as another one: it shows that one's measurement."""
        self._entries[subject.id] = _Entry(subject, same_as=same_as, facts=facts)

    def put(self, subject: Subject, measurement: Measurement, **facts: Any) -> None:
        """A row that was measured elsewhere."""
        self._entries[subject.id] = _Entry(subject, measurement=measurement, facts=facts)

    def measure(self, device: str) -> Mapping[str, Measurement]:
        """Measure everything that was added; id -> samples, shared rows included."""
        variants = {key: entry.variant for key, entry in self._entries.items() if entry.variant is not None}
        variants[YARDSTICK] = Variant(yardstick(device), host_timer(device))
        found = measure(variants, self._settings.protocol, self._settings.say)
        self.yardstick = found.pop(YARDSTICK)
        for key, measurement in found.items():
            self._entries[key].measurement = measurement
        for entry in self._entries.values():
            if entry.same_as is not None:
                other = self._entries[entry.same_as]
                entry.measurement, entry.skipped = other.measurement, other.skipped
        return {key: e.measurement for key, e in self._entries.items() if e.measurement is not None}

    def fact(self, subject_id: str, title: str, value: Any) -> None:
        """Fill a further column of a row."""
        self._entries[subject_id].facts[title] = value

    def rows(self) -> list[Row]:
        """The rows as they stand."""
        return [Row(e.subject, e.measurement, e.skipped, e.facts) for e in self._entries.values()]

    def arrange(self, ids: Sequence[str]) -> None:
        """Put these rows first, in this order."""
        self._entries = {key: self._entries[key] for key in (*ids, *(k for k in self._entries if k not in ids))}

    def report(self, checks: Sequence[Check] = (), notes: Sequence[str] = ()) -> Report:
        """The finished report, with the machine's condition at the end."""
        return Report(
            suite=self._suite,
            title=self._title,
            rows=tuple(self.rows()),
            checks=tuple(checks),
            notes=tuple(notes),
            protocol=self._settings.protocol,
            yardstick=self.yardstick,
            environment=environment.describe() | {"yardstick": KIND},
            before=self._before,
            after=environment.condition(),
            version=fastinst_rt.__version__,
        )


def remember(call: Callable[[], Any], into: list[Any]) -> Call:
    """A call that leaves its result in `into[0]`: for what a timed call finds besides its time."""

    def kept() -> None:
        into[0] = call()

    return kept


def _reason(error: Exception) -> str:
    if isinstance(error, FastInstError):
        return str(error)
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return "The memory of this machine does not hold it."
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return f"It does not run here: {first}"
