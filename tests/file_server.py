"""A real HTTP server on 127.0.0.1 that serves files with ranges, and misbehaves when it is told to."""

import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Fault = Callable[["Handler", bytes], None]


class FileServer:
    """Each request is answered by the next of `faults`, or well when none is left."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.versions: dict[str, str | None] = {}  # ETag by path; None = the server gives none
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, str | None]] = []  # path and Range of every request
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.of = self
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def put(self, path: str, body: bytes, version: str | None = '"v1"') -> str:
        """Serve a body; returns its address."""
        self.files[path], self.versions[path] = body, version
        return self.url + path

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        of: FileServer = self.server.of
        of.asked.append((self.path, self.headers.get("Range")))
        self.close_connection = True
        if self.path not in of.files:
            return self.send_error(404)
        fault = of.faults.pop(0) if of.faults else well
        return fault(self, of.files[self.path])

    def answer(self, body: bytes, status: int = 200, *, send: int | None = None, **headers: str) -> None:
        """The head for the whole body, and the first `send` bytes of it."""
        version = self.server.of.versions[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers | ({"ETag": version} if version else {})).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[:send])

    def rest(self, body: bytes, **how: int) -> None:
        """What was asked for of a body: all, or from the start of the range if the version is still the same."""
        version = self.server.of.versions[self.path]
        wanted = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not wanted or not version or self.headers["If-Range"] != version:
            return self.answer(body, **how)
        start = int(wanted[1])
        if start >= len(body):
            return self.answer(b"", 416, Content_Range=f"bytes */{len(body)}")
        return self.answer(body[start:], 206, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}", **how)

    def log_message(self, *_: object) -> None:
        pass


def well(handler: Handler, body: bytes) -> None:
    handler.rest(body)


def dropped_after(sent: int) -> Fault:
    """The connection is reset once so many bytes of the answer's body went out."""

    def fault(handler: Handler, body: bytes) -> None:
        handler.rest(body, send=sent)
        handler.wfile.flush()
        time.sleep(0.02)  # a reset overtakes what was not read yet
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    return fault


def cut_after(sent: int) -> Fault:
    """The server ends the connection in good order, with less than it announced."""
    return lambda handler, body: handler.rest(body, send=sent)


def corrupted(handler: Handler, body: bytes) -> None:
    handler.rest(body[:-1] + bytes([body[-1] ^ 1]))


def without_ranges(handler: Handler, body: bytes) -> None:
    handler.answer(body)


def in_portions(handler: Handler, body: bytes) -> None:
    """A range shorter than was asked for, as a server may."""
    asked = re.match(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    start = int(asked[1]) if asked else 0
    end = min(start + 100_000, len(body))
    handler.answer(body[start:end], 206, Content_Range=f"bytes {start}-{end - 1}/{len(body)}")


def another_range(handler: Handler, body: bytes) -> None:
    """As long as what was asked for, but from a byte earlier."""
    start = int(re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"])[1]) - 1
    handler.answer(body[start:-1], 206, Content_Range=f"bytes {start}-{len(body) - 2}/{len(body)}")


def status(code: int) -> Fault:
    return lambda handler, body: handler.send_error(code)


def web_page(handler: Handler, body: bytes) -> None:
    handler.answer(b"<html>log in</html>", Content_Type="text/html; charset=utf-8")


def redirect_to(url: str) -> Fault:
    return lambda handler, body: handler.answer(b"", 302, Location=url)


def hung_up(handler: Handler, body: bytes) -> None:
    """No answer at all."""
