"""A live source to a window, a web page and a recording."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from fastinst_rt.errors import UsageError
from fastinst_rt.video.display import require_display
from fastinst_rt.video.jobs import Network, Settings, Watch, closing_on_error, prepare
from fastinst_rt.video.mjpeg import MjpegSink, parse_address
from fastinst_rt.video.pipeline import Pipeline
from fastinst_rt.video.sinks import Sink
from fastinst_rt.video.sources import Source
from fastinst_rt.video.summary import Summary
from fastinst_rt.video.video_sink import VideoSink
from fastinst_rt.video.window import HasScore, Window


class LiveNetwork(Network, HasScore, Protocol):
    """What a live run needs of a `Segmenter`: its threshold can be turned."""


@dataclass(frozen=True, slots=True)
class LiveOutputs:
    """Where a live run goes.

    Attributes:
        record: a video of all that is shown, without the display.
        window: whether to open one.
        serve: `[HOST:]PORT` of a web page.
    """

    record: Path | None = None
    window: bool = True
    serve: str | None = None

    def check(self) -> None:
        """Finds out before anything is loaded what cannot work.

        Raises:
            UsageError: the address cannot be read.
            OutputError: no window can be opened.
        """
        if self.serve is not None:
            parse_address(self.serve)
        if self.window:
            require_display()


def parse_size(text: str) -> tuple[int, int]:
    """`1280x720` -> (width, height).

    Raises:
        UsageError: it is no size.
    """
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise UsageError(f"{text} is no size.", "Write WIDTHxHEIGHT, e.g. 1280x720.")
    return int(match[1]), int(match[2])


def run_live(
    source: Source,
    network: LiveNetwork,
    outputs: LiveOutputs,
    settings: Settings,
    on_begin: Callable[[str | None], Watch] | None = None,
    on_end: Callable[[Summary], None] | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Summary:
    """Runs until the source ends, a limit is reached, or the user quits.

    Args:
        source: opened; closed at the end.
        on_begin: told of the page's address (None without a page); returns who is told of the progress.
        on_end: told of the summary, of a failed or interrupted run too.
        on_note: see `run_job`.

    Raises:
        See the sinks and `Pipeline.run`.
    """
    sinks: list[Sink] = []
    name = source.info.path.name if source.info.path is not None else source.info.name  # a page tells no folders
    with closing_on_error(source, sinks):
        concurrency, notes = prepare(network, source.info, on_note)
        window, page = None, None
        if outputs.record is not None:
            sinks.append(VideoSink(outputs.record, source, settings.codec, settings.crf, settings.audio))
        if outputs.window:
            window = Window(f"fastinst-rt: {name}", network, _recorder(source, settings))
            sinks.append(window)
        if outputs.serve is not None:
            page = MjpegSink(*parse_address(outputs.serve))
            sinks.append(page)
    names = (settings.model, network.engine_name)
    pipeline = Pipeline(source, network, sinks, settings.plan, settings.overlay, *names, notes, concurrency)
    if window is not None:
        window.connect(pipeline, [name, network.engine_name])
    if page is not None:
        page.connect(pipeline, name, network.engine_name)
    watch = None if on_begin is None else on_begin(None if page is None else page.url)
    try:
        return pipeline.run(attend=None if window is None else window.attend, on_progress=watch)
    finally:
        if on_end is not None and pipeline.summary is not None:
            on_end(pipeline.summary)


def _recorder(source: Source, settings: Settings) -> Callable[[], Sink]:
    """Opens what the window's `r` key records to: a file in the working folder, named after the time."""

    def record() -> Sink:
        path = Path(f"recording-{datetime.now():%Y%m%d-%H%M%S}.mp4")
        return VideoSink(path, source, settings.codec, settings.crf, settings.audio)

    return record
