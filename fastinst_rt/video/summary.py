"""What a run reports: a snapshot while it runs and a summary at its end."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fastinst_rt.video.meters import Distribution, Meters, Recent
from fastinst_rt.video.sources import SourceInfo


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a run at one moment.

    Attributes:
        state: `ready`, `running`, `stopping` or `ended`.
        seconds: since the start.
        frames_in, frames_inferred, frames_out: so far.
        drops: frames dropped so far, by cause.
        waiting_infer, waiting_render: frames that wait before the inference and the render stage.
        recent: rates of the last two seconds.
    """

    state: str
    seconds: float
    frames_in: int
    frames_inferred: int
    frames_out: int
    drops: dict[str, int]
    waiting_infer: int
    waiting_render: int
    recent: Recent


@dataclass(frozen=True, slots=True)
class StageTime:
    """Seconds one stage took for a frame; `total` over all frames."""

    frames: int
    total: float
    mean: float
    p50: float
    p95: float
    maximum: float

    @classmethod
    def of(cls, times: Distribution) -> "StageTime":
        """The figures of a distribution."""
        return cls(times.count, times.total, times.mean, times.percentile(50), times.percentile(95), times.maximum)


@dataclass(frozen=True)
class Summary:
    """The whole run; `as_json` is what `--json-summary` writes.

    Attributes:
        source: its name, credentials redacted.
        outcome: `complete`, `quit` (by the user, in the window), `interrupted` or `failed`.
        model, engine: names.
        policy: `every` or `freshest`.
        concurrency: frames the network saw at once.
        frames_in: frames the source delivered; frames_in = frames_out + the sum of drops, always.
        frames_inferred: frames the network saw (fewer than frames_out with `--every N`).
        frames_out: frames that went through all sinks.
        drops: frames dropped, by cause: `replaced`, `stale`, `stopped`, `failed`.
        wall_seconds: from the start of the threads to the last output being final.
        fps: frames a second between the first and the last one that came out; 0 for a single frame.
        stages: decode, infer, overlay, encode: seconds a frame, however many are in it at once. For a live source
            `decode` is waiting for the frame.
        infer_parts: what `infer` was made of: resize, engine, select, enlarge.
        age: seconds from capture to the end of the last sink.
        overlap: sum of all stage seconds / wall seconds; over 1 means that stages ran at the same time.
        efficiency: seconds of the busiest thread / wall seconds; 1 means that the slowest stage never waited.
        outputs: files and folders that were written, with their final names.
        warnings: sentences from source, sinks and watchdog.
        error: the sentence the run failed with.
    """

    source: str
    outcome: str
    model: str
    engine: str
    policy: str
    concurrency: int
    frames_in: int
    frames_inferred: int
    frames_out: int
    drops: dict[str, int]
    wall_seconds: float
    fps: float
    stages: dict[str, StageTime]
    infer_parts: dict[str, StageTime]
    age: StageTime
    overlap: float
    efficiency: float
    outputs: list[str]
    warnings: list[str]
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain types; keys are the attributes' names."""
        return asdict(self)


def summarise(
    meters: Meters,
    source: SourceInfo,
    wall_seconds: float,
    failure: BaseException | None,
    quit_early: bool,
    names: dict[str, str],
    outputs: Sequence[str],
    warnings: Sequence[str],
) -> Summary:
    """Puts the summary together; `names` holds model, engine and policy."""
    if failure is not None:
        outcome = "interrupted" if isinstance(failure, KeyboardInterrupt) else "failed"
    else:
        outcome = "quit" if quit_early else "complete"
    overlap, efficiency = _concurrency(meters, wall_seconds, source.live)
    return Summary(
        source=source.name,
        outcome=outcome,
        **names,
        concurrency=meters.concurrency,
        frames_in=meters.frames_in,
        frames_inferred=meters.frames_inferred,
        frames_out=meters.frames_out,
        drops=meters.drops_by_name(),
        wall_seconds=wall_seconds,
        fps=meters.fps,
        stages={name: StageTime.of(times) for name, times in meters.stages.items()},
        infer_parts={name: StageTime.of(times) for name, times in meters.parts.items() if times.count},
        age=StageTime.of(meters.age),
        overlap=overlap,
        efficiency=efficiency,
        outputs=list(outputs),
        warnings=list(warnings),
        error=str(failure) if outcome == "failed" else None,
    )


def _concurrency(meters: Meters, wall_seconds: float, live: bool) -> tuple[float, float]:
    """(overlap, efficiency) as `Summary` explains them; a live source's waiting is no work and does not count."""
    spent = {name: times.total for name, times in meters.stages.items()}
    if live:
        spent["decode"] = 0.0
    threads = (spent["decode"], spent["infer"] / meters.concurrency, spent["overlay"] + spent["encode"])
    return sum(spent.values()) / wall_seconds, max(threads) / wall_seconds


def hud_lines(snapshot: Snapshot, names: Sequence[str]) -> list[str]:
    """What the head-up display says; `names` are shown first (source, engine)."""
    recent = snapshot.recent
    speed = f"{recent.fps:.1f} FPS    engine {1e3 * recent.engine:.1f} ms    age {1e3 * recent.age:.0f} ms"
    drops = ", ".join(f"{number} {cause}" for cause, number in snapshot.drops.items()) or "none"
    waiting = snapshot.waiting_infer + snapshot.waiting_render
    return [speed, *names, f"frame {snapshot.frames_out}    dropped {drops}    waiting {waiting}"]
