"""The live window: a sink that the render thread fills and the main thread shows, with keys to steer the run."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.errors import FastInstError
from fastinst_rt.render import Layers, Overlay, draw_hud
from fastinst_rt.results import Frame, Instances
from fastinst_rt.video.display import require_display
from fastinst_rt.video.pipeline import Pipeline
from fastinst_rt.video.queues import Policy
from fastinst_rt.video.sinks import Sink
from fastinst_rt.video.summary import hud_lines

KEYS = "space pause   r record   s screenshot   + - threshold   m layers   h display   q quit"

VIEWS = {
    "masks and labels": Layers(masks=True, boxes=False, labels=True),
    "masks, boxes and labels": Layers(masks=True, boxes=True, labels=True),
    "masks": Layers(masks=True, boxes=False, labels=False),
    "boxes and labels": Layers(masks=False, boxes=True, labels=True),
    "the plain picture": Layers(masks=False, boxes=False, labels=False),
}
"""What the `m` key goes through."""

_LARGEST = (720, 1280)
"""Height and width a window opens with at most; the user may enlarge it."""

_MESSAGE_SECONDS = 2.5
_PUMP = 0.015
"""Seconds the main thread waits for a picture before it looks at the keyboard again."""


class HasScore(Protocol):
    """What the + and - keys turn: a `Segmenter`."""

    score: float


class _Shown(NamedTuple):
    frame: Frame
    instances: Instances
    annotated: npt.NDArray[np.uint8]


class Window:
    """Shows the annotated picture and obeys keys. `attend` runs in the main thread, as GUI toolkits want it.

    Under `every`, pausing holds the whole run; under `freshest` it freezes the picture while the run goes on.

    Args:
        title: of the window.
        threshold: whose score the + and - keys turn.
        make_recorder: opens a sink for the `r` key, and what it writes.
        screenshots: folder for the `s` key.

    Raises:
        OutputError: no window can be opened here.
    """

    needs_overlay = True
    path: Path | None = None

    def __init__(
        self, title: str, threshold: HasScore, make_recorder: Callable[[], Sink], screenshots: Path = Path()
    ) -> None:
        require_display()
        self.notes: list[str] = []
        self._title = title
        self._threshold = threshold
        self._make_recorder = make_recorder
        self._screenshots = screenshots
        self._arrival = threading.Condition()
        self._newest: _Shown | None = None
        self._shown: _Shown | None = None
        self._pipeline: Pipeline | None = None
        self._names: list[str] = []
        self._recorder: Sink | None = None
        self._view = 0
        self._paused = self._opened = False
        self._hud = True
        self._message, self._message_until = KEYS, time.monotonic() + 2 * _MESSAGE_SECONDS

    def connect(self, pipeline: Pipeline, names: list[str]) -> None:
        """Tells the window which run it steers, and the names its display shows."""
        self._pipeline = pipeline
        self._names = names
        self._view = next((i for i, view in enumerate(VIEWS.values()) if view == pipeline.overlay.layers), 0)

    # The render thread.

    def write(self, frame: Frame, annotated: npt.NDArray[np.uint8] | None, instances: Instances) -> None:
        """See `Sink.write`: leaves the newest picture for the main thread and never waits for it."""
        if annotated is None:
            raise ValueError("a window needs the annotated picture")
        with self._arrival:
            self._newest = _Shown(frame, instances, annotated)
            self._arrival.notify_all()

    def close(self) -> None:
        """See `Sink.close`."""
        if self._opened:
            self._opened = False
            cv2.destroyAllWindows()

    def abort(self) -> None:
        """See `Sink.abort`."""
        self.close()

    # The main thread.

    def attend(self, seconds: float) -> None:
        """Shows what arrives and obeys keys for about `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self._pump():
            pass

    def _pump(self) -> bool:
        """One look at the mailbox and the keyboard; False once the user has quit."""
        with self._arrival:
            if self._newest is None:
                self._arrival.wait(_PUMP)
            arrived, self._newest = self._newest, None
        if arrived is not None and not self._paused:
            self._shown = arrived
        if self._shown is not None and (arrived is not None or self._paused):
            self._show(self._shown)
        if not self._opened:
            return True
        key = cv2.pollKey() & 0xFF
        if key != 0xFF:
            self._obey(chr(key))
        if key in (ord("q"), 27) or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            self._run.stop()
            return False
        return True

    def _show(self, shown: _Shown) -> None:
        picture = shown.annotated.copy()
        lines = hud_lines(self._run.snapshot(), self._names) if self._hud else []
        if self._paused:
            lines.append("paused")
        if self._recorder is not None:
            lines.append(f"recording {self._recorder.path}")
        if time.monotonic() < self._message_until:
            lines.append(self._message)
        if not self._opened:
            self._open(picture.shape[:2])
        cv2.imshow(self._title, draw_hud(picture, lines))

    def _open(self, size: tuple[int, ...]) -> None:
        height, width = size
        scale = min(1.0, _LARGEST[0] / height, _LARGEST[1] / width)
        cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.resizeWindow(self._title, round(width * scale), round(height * scale))
        self._opened = True

    # The keys.

    @property
    def _run(self) -> Pipeline:
        if self._pipeline is None:
            raise RuntimeError("the window is connected to no run")
        return self._pipeline

    def _obey(self, key: str) -> None:
        actions: dict[str, Callable[[], None]] = {
            " ": self._toggle_pause,
            "r": self._toggle_recording,
            "s": self._take_screenshot,
            "+": lambda: self._turn_threshold(0.05),
            "=": lambda: self._turn_threshold(0.05),  # the same key without shift
            "-": lambda: self._turn_threshold(-0.05),
            "h": self._toggle_hud,
            "m": self._next_view,
        }
        if key.lower() in actions:
            actions[key.lower()]()

    def _say(self, message: str) -> None:
        self._message, self._message_until = message, time.monotonic() + _MESSAGE_SECONDS

    def _toggle_pause(self) -> None:
        self._paused = not self._paused
        if self._run.policy is Policy.EVERY:
            self._run.pause(self._paused)

    def _toggle_recording(self) -> None:
        if self._recorder is not None:
            self._run.finish_sink(self._recorder)
            self._say(f"recorded {self._recorder.path}")
            self._recorder = None
            return
        try:
            self._recorder = self._make_recorder()
        except FastInstError as error:
            self._say(error.problem)
            return
        self._run.add_sink(self._recorder)

    def _take_screenshot(self) -> None:
        if self._shown is None:
            return
        name = self._screenshots / f"screenshot-{datetime.now():%Y%m%d-%H%M%S-%f}.png"
        encoded = cv2.imencode(".png", self._shown.annotated)[1]
        try:
            name.write_bytes(encoded.tobytes())
        except OSError as error:
            self._say(f"no screenshot: {error.strerror}")
            return
        self._say(f"saved {name}")

    def _turn_threshold(self, step: float) -> None:
        self._threshold.score = round(min(0.95, max(0.05, self._threshold.score + step)), 2)
        self._say(f"score at least {self._threshold.score:.2f}")

    def _toggle_hud(self) -> None:
        self._hud = not self._hud

    def _next_view(self) -> None:
        self._view = (self._view + 1) % len(VIEWS)
        name, layers = list(VIEWS.items())[self._view]
        self._run.overlay = Overlay(layers, self._run.overlay.opacity)
        if self._shown is not None:  # seen at once, even while paused
            again = self._run.overlay.draw(self._shown.frame.image, self._shown.instances)
            self._shown = self._shown._replace(annotated=again)
        self._say(f"showing {name}")
