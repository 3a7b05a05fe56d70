"""State dicts by published names, and small checkpoints, and a web server that misbehaves on request."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
import torch

from fastinst_rt.models.zoo import get_spec, list_models


def configuration(checkpoint: str) -> str:
    """`fastinst_R50_ppm-fpn_x1_576_34.9.pth` is of the configuration `fastinst_R50_ppm-fpn_x1_576`."""
    return checkpoint.rpartition("_")[0]


@pytest.fixture(scope="session")
def published_shapes(oracle: Path) -> dict[str, dict[str, tuple[int, ...]]]:
    """Model name -> published name -> shape, in the order of the released file."""
    folder = oracle / "published_keys"
    return {
        model: {
            name: tuple(shape)
            for name, shape, _ in json.loads((folder / f"{configuration(checkpoint)}.json").read_text())
        }
        for model in list_models()
        if (checkpoint := get_spec(model).checkpoint) is not None
    }


@pytest.fixture(scope="session")
def published_tensors(published_shapes: dict[str, dict[str, tuple[int, ...]]]) -> dict[str, torch.Tensor]:
    """A state dict of the smallest released model, each tensor filled with values of its own."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(shape, generator=generator) + 0.5
        for name, shape in published_shapes["fastinst-d1-r50"].items()
    }


@dataclass
class Server:
    """What is served, what was asked, and what goes wrong.

    Attributes:
        folder: the files.
        url: base address.
        requests: headers of every request so far.
        cut_after: close the connection after so many bytes of the body.
        page: answer every request with this HTML page.
        etag: send an ETag, and honour Range with If-Range.
        ranges: honour Range at all; a server that does not answers 200 with everything.
        chunked: send the body without a length, in chunks.
        password: ask for this "user:password".
        redirect: send everybody to this base address.
        gate: wait for this before a body is sent.
    """

    folder: Path
    url: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)
    cut_after: int | None = None
    page: str | None = None
    etag: bool = True
    ranges: bool = True
    chunked: bool = False
    password: str | None = None
    redirect: str | None = None
    gate: Event | None = None


@contextmanager
def serve(folder: Path) -> Iterator[Server]:
    state = Server(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            state.requests.append(dict(self.headers))
            file = state.folder / self.path.partition("?")[0].rsplit("/", 1)[-1]
            if state.redirect is not None:
                self.answer(302, b"", {"Location": f"{state.redirect}/{file.name}"})
            elif state.password is not None and self.headers.get("Authorization") != _basic(state.password):
                self.answer(401, b"")
            elif state.page is not None:
                self.answer(200, state.page.encode(), {"Content-Type": "text/html; charset=utf-8"})
            elif not file.is_file():
                self.answer(404, b"not here")
            else:
                self.send_file(file.read_bytes())

        def send_file(self, content: bytes) -> None:
            tag = f'"{sha256(content).hexdigest()[:16]}"'
            headers = {"ETag": tag} if state.etag else {}
            wanted = self.headers.get("Range")
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and state.ranges else 0
            if start and self.headers.get("If-Range") == tag:
                if start >= len(content):
                    self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                else:
                    span = f"bytes {start}-{len(content) - 1}/{len(content)}"
                    self.answer(206, content[start:], headers | {"Content-Range": span})
            else:
                self.answer(200, content, headers)

        def answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(code)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            if state.chunked and code == 200:
                self.send_header("Transfer-Encoding", "chunked")
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            else:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if state.gate is not None:
                state.gate.wait(20)
            if state.cut_after is not None and code in (200, 206):
                body = body[: state.cut_after]
                self.close_connection = True
            with suppress(ConnectionError):  # the client may have gone
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _basic(password: str) -> str:
    return "Basic " + base64.b64encode(password.encode()).decode()


@pytest.fixture
def start_server() -> Callable[[Path], AbstractContextManager[Server]]:
    """Starts a web server on this machine that serves a folder."""
    return serve


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A web server on this machine with one checkpoint, `net.pth`."""
    folder = tmp_path / "served"
    folder.mkdir()
    torch.save({"model": {"a": torch.arange(100_000)}}, folder / "net.pth")
    with serve(folder) as running:
        yield running
