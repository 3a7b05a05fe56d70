"""One input through the pipeline to its outputs, as the commands want it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from fastinst_rt.render import Overlay
from fastinst_rt.results import Instances, Size
from fastinst_rt.video.jsonl_sink import JsonlSink
from fastinst_rt.video.mask_sink import MaskSink
from fastinst_rt.video.matte_sink import MatteSink
from fastinst_rt.video.outputs import Job, Outputs
from fastinst_rt.video.pipeline import Pipeline
from fastinst_rt.video.plan import Plan
from fastinst_rt.video.sinks import Sink
from fastinst_rt.video.sources import Source, SourceInfo, SourceOptions, open_source
from fastinst_rt.video.summary import Snapshot, Summary
from fastinst_rt.video.video_sink import VideoSink

if TYPE_CHECKING:  # it brings torch, which a pipeline does not need
    from fastinst_rt.backends.base import EngineInfo


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for every job of a run.

    Attributes:
        source: how inputs are opened.
        plan: how frames travel.
        overlay: how instances are drawn.
        codec, crf, audio: see `VideoSink`.
        model: name for the summary.
    """

    source: SourceOptions = field(default_factory=SourceOptions)
    plan: Plan = field(default_factory=Plan)
    overlay: Overlay = field(default_factory=Overlay)
    codec: str | None = None
    crf: int | None = None
    audio: bool = True
    model: str = ""


class Network(Protocol):
    """What a job needs of a `Segmenter`."""

    def __call__(self, image: npt.NDArray[np.uint8]) -> Instances: ...

    @property
    def engine_name(self) -> str: ...

    def prepare(self, frame: Size) -> "EngineInfo | None": ...


Watch = Callable[[Snapshot], None]
"""Told of the state of the running job, in the main thread."""


def run_job(
    job: Job,
    network: Network,
    settings: Settings,
    on_open: Callable[[SourceInfo], Watch] | None = None,
    on_end: Callable[[Summary], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Summary:
    """Runs one job to its end.

    Args:
        network: opened; its engine for this source's shape is prepared before the first frame.
        on_open: told of the source once it is open; returns who is told of the progress.
        on_end: told of the summary, of a failed or interrupted run too.
        on_note: told before the first frame if the engine is a makeshift; the summary has that note too.

    Raises:
        See `open_source`, the sinks and `Pipeline.run`.
    """
    source = open_source(job.source, settings.source)
    sinks: list[Sink] = []
    with closing_on_error(source, sinks):
        concurrency, notes = prepare(network, source.info, on_note)
        # One by one, so that those before a failure are known.
        for sink in open_sinks(job.outputs, source, settings):
            sinks.append(sink)
    names = (settings.model, network.engine_name)
    pipeline = Pipeline(source, network, sinks, settings.plan, settings.overlay, *names, notes, concurrency)
    watch = None if on_open is None else on_open(source.info)
    try:
        return pipeline.run(on_progress=watch)
    finally:
        if on_end is not None and pipeline.summary is not None:
            on_end(pipeline.summary)


def prepare(network: Network, info: SourceInfo, on_note: Callable[[str], None] | None) -> tuple[int, Sequence[str]]:
    """Opens the engine for the source's frames.

    Returns:
        How many frames it takes at once, and what the user should know of it, which is said at once too.
    """
    engine = network.prepare((info.height, info.width))
    if engine is None:
        return 1, []
    if engine.note is None:
        return engine.concurrency, []
    if on_note is not None:
        on_note(engine.note)
    return engine.concurrency, [engine.note]


def open_sinks(outputs: Outputs, source: Source, settings: Settings) -> Iterator[Sink]:
    """Opens the outputs of a job, one after the other."""
    if outputs.video is not None:
        yield VideoSink(outputs.video, source, settings.codec, settings.crf, settings.audio)
    if outputs.json is not None:
        yield JsonlSink(outputs.json, source)
    if outputs.masks is not None:
        yield MaskSink(outputs.masks, source)
    if outputs.matte is not None:
        yield MatteSink(outputs.matte, source)


@contextmanager
def closing_on_error(source: Source, sinks: list[Sink]) -> Iterator[None]:
    """Gives back the source and the sinks that were opened so far if the block fails; a pipeline does it later."""
    try:
        yield
    except BaseException:
        for sink in sinks:
            sink.abort()
        source.close()
        raise
