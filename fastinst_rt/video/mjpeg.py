"""The live picture as a web page: a sink that browsers on the network watch (Motion JPEG over HTTP)."""

import contextlib
import json
import socket
import threading
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import cv2
import numpy as np
import numpy.typing as npt

from fastinst_rt.errors import OutputError, UsageError
from fastinst_rt.results import Frame, Instances
from fastinst_rt.video.pipeline import Pipeline

MOST_VIEWERS = 16
QUALITY = 80
"""JPEG quality: 720p is about 100 KB a picture and 4 ms of one core."""

_SEND_TIMEOUT = 10.0
"""Seconds after which a viewer that takes nothing is given up."""

_BOUNDARY = "frame"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def parse_address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `:PORT` or `PORT` -> (host, port); the host is loopback unless told otherwise.

    Raises:
        UsageError: it is none of these.
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{text} is no address to serve on.", "Write a port, e.g. 8080, or HOST:PORT.")
    return host.strip("[]") or "127.0.0.1", int(port)


class MjpegSink:
    """Serves the newest annotated picture to any number of viewers up to 16.

    Each viewer is served by its own thread and always gets the newest picture, so a slow one sees fewer pictures and
    holds up nobody. A picture is encoded once for all viewers, and only when there is one.

    Args:
        host, port: where to listen; port 0 takes a free one (see `url`).

    Raises:
        OutputError: the address cannot be listened on.
    """

    path: Path | None = None

    def __init__(self, host: str, port: int) -> None:
        self.needs_overlay = False  # until somebody watches
        self.notes: list[str] = []
        self._arrival = threading.Condition()
        self._encoding = threading.Lock()
        self._picture: npt.NDArray[np.uint8] | None = None
        self._number = 0
        self._encoded = (0, b"")
        self._ended = False
        self._viewers: set[socket.socket] = set()
        self._pipeline: Pipeline | None = None
        self._names = {"source": "", "engine": ""}
        try:
            self._server = _Server((host, port), self)
        except OSError as error:
            raise OutputError(
                f"{host}:{port} cannot be served on: {error.strerror or error}.", "Choose another --serve port."
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_port}/"
        if host not in _LOOPBACK:
            self.notes.append(f"{self.url} shows the picture to everybody who can reach this machine.")
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="fastinst-serve")
        self._thread.start()

    def connect(self, pipeline: Pipeline, source: str, engine: str) -> None:
        """Tells the page which run it shows."""
        self._pipeline = pipeline
        self._names = {"source": source, "engine": engine}

    def write(self, frame: Frame, annotated: npt.NDArray[np.uint8] | None, instances: Instances) -> None:  # noqa: ARG002
        """See `Sink.write`: takes note of the picture and waits for nobody.

        A frame that was not drawn, since nobody watched, makes the picture before it an old one: it is forgotten, so
        that the next viewer waits for his own.
        """
        with self._arrival:
            self._picture = annotated
            if annotated is None:
                return
            self._number += 1
            self._arrival.notify_all()

    def close(self) -> None:
        """See `Sink.close`: sends the viewers away and frees the port."""
        with self._arrival:
            if self._ended:
                return
            self._ended = True
            self._arrival.notify_all()
            for viewer in self._viewers:
                with contextlib.suppress(OSError):
                    viewer.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for a slow viewer
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def abort(self) -> None:
        """See `Sink.abort`."""
        self.close()

    # The viewers' threads.

    def enter(self, viewer: socket.socket) -> bool:
        """Counts a viewer in; False when there are too many."""
        with self._arrival:
            if self._ended or len(self._viewers) >= MOST_VIEWERS:
                return False
            self._viewers.add(viewer)
            self.needs_overlay = True
            return True

    def leave(self, viewer: socket.socket) -> None:
        """Counts a viewer out."""
        with self._arrival:
            self._viewers.discard(viewer)
            self.needs_overlay = bool(self._viewers)

    def next_jpeg(self, after: int) -> tuple[int, bytes] | None:
        """The newest picture with a number over `after` and its number; waits for it; None at the end."""
        with self._arrival:
            while (self._picture is None or self._number <= after) and not self._ended:
                self._arrival.wait()
            if self._ended or self._picture is None:
                return None
            number, picture = self._number, self._picture
        with self._encoding:  # whoever comes first encodes for all
            if self._encoded[0] < number:
                jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
                self._encoded = (number, jpeg.tobytes())
            return self._encoded

    def stats(self) -> dict[str, Any]:
        """What the page shows beside the picture."""
        state = {} if self._pipeline is None else asdict(self._pipeline.snapshot())
        return {**self._names, **state, "viewers": len(self._viewers)}


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for the viewers' threads: none is left behind

    def __init__(self, address: tuple[str, int], sink: MjpegSink) -> None:
        self.sink = sink
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A viewer that goes away is no event worth a traceback."""


class _Handler(BaseHTTPRequestHandler):
    timeout = _SEND_TIMEOUT
    server_version = "fastinst-rt"

    def setup(self) -> None:
        """Keeps the system's send buffer small: what waits there is what a slow viewer lags behind."""
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 * 1024)
        super().setup()

    def do_GET(self) -> None:
        """Answers a browser."""
        sink = cast(_Server, self.server).sink
        if not self._is_meant():
            self.send_error(403, "This page answers to its own name only")
            return
        path = urlsplit(self.path).path
        if path == "/":
            self._answer("text/html; charset=utf-8", files("fastinst_rt.video").joinpath("mjpeg.html").read_bytes())
        elif path == "/stats.json":
            self._answer("application/json", json.dumps(sink.stats()).encode())
        elif path in ("/stream", "/snapshot.jpg"):
            if not sink.enter(self.connection):
                self.send_error(503, "Too many viewers")
                return
            try:
                if path == "/stream":
                    self._stream(sink)
                elif (picture := sink.next_jpeg(after=0)) is not None:
                    self._answer("image/jpeg", picture[1])
            finally:
                sink.leave(self.connection)
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: the terminal shows the progress of the run."""

    def _is_meant(self) -> bool:
        """On loopback only loopback names are answered: no web page elsewhere may read the camera by DNS rebinding."""
        bound = cast(tuple[str, int], self.server.server_address)[0]
        asked = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        return bound not in _LOOPBACK or asked in _LOOPBACK

    def _answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, sink: MjpegSink) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        number = 0
        while (picture := sink.next_jpeg(after=number)) is not None:
            number, jpeg = picture
            head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")
