"""A local HTTP server that misbehaves as asked."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Server:
    """Serves one body at 127.0.0.1 in the way that `manner` says.

    whole: answers properly. stall: sends `sent` bytes, then nothing, and keeps the line open.
    reset: sends `sent` bytes, then resets the connection. mute: accepts and never answers.
    unsized: sends the body without its length and ends, to each who comes.
    live: sends the body without length again and again; after `sent` bytes in all it resets, once.
    """

    def __init__(self, body: bytes, manner: str, sent: int) -> None:
        self._body, self._manner, self._sent = body, manner, sent
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._closing = threading.Event()
        self.connections = 0
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for line in self._open:
            line.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(line)
            self.connections += 1
            threading.Thread(target=self._answer, args=(line, self.connections), daemon=True).start()

    def _answer(self, line: socket.socket, number: int) -> None:
        try:
            request = line.recv(65536).decode("latin-1")
            if self._manner == "mute":
                self._closing.wait()
                return
            if self._manner == "live":
                self._live(line, number)
                return
            if self._manner == "unsized":
                line.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n" + self._body)
                line.close()
                return
            begin = 0
            for header in request.splitlines():
                if header.lower().startswith("range: bytes="):
                    begin = int(header.split("=")[1].split("-")[0])
            body = self._body[begin:]
            status = "206 Partial Content" if begin else "200 OK"
            head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nAccept-Ranges: bytes\r\n"
            if begin:
                head += f"Content-Range: bytes {begin}-{len(self._body) - 1}/{len(self._body)}\r\n"
            line.sendall(head.encode() + b"Connection: close\r\n\r\n")
            if self._manner == "whole":
                line.sendall(body)
                line.close()
                return
            line.sendall(body[: max(0, self._sent - begin)])
            if self._manner == "reset":
                time.sleep(0.2)  # a reset overtakes what is still on the way
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                line.close()
                return
            self._closing.wait()
        except OSError:
            return

    def _live(self, line: socket.socket, number: int) -> None:
        """JPEG after JPEG, 50 a second, as network cameras do; the first viewer is cut off after `sent` of them."""
        line.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=b\r\n\r\n")
        for count in range(100_000):
            head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(self._body)}\r\n\r\n".encode()
            line.sendall(head + self._body + b"\r\n")
            if number == 1 and count == self._sent:
                line.close()
                return
            if self._closing.wait(0.02):
                return


@contextmanager
def serving(body: bytes, manner: str = "whole", sent: int = 0) -> Iterator[Server]:
    server = Server(body, manner, sent)
    try:
        yield server
    finally:
        server.close()
