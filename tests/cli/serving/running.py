"""`sp-search serve` on a free port, in a thread of this process."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import uvicorn

from sp_search.cli.exported.prompts import Prompts
from sp_search.cli.serving.app import make_app
from sp_search.cli.serving.batcher import Batcher
from sp_search.cli.serving.metrics import ServerMetrics


@contextmanager
def running(
    prompts: Prompts,
    *,
    most: int = 16,
    wait_s: float = 0.002,
    longest_queue: int = 64,
    most_bytes: int = 100_000,
    waiting_bytes: int = 10**7,
) -> Iterator[SimpleNamespace]:
    """A server: `ask(method, path, body, **headers)` gives status, headers and content, `connect()` a connection."""
    metrics = ServerMetrics()
    batcher = Batcher(prompts, metrics, most=most, wait_s=wait_s, longest_queue=longest_queue)
    app = make_app(batcher, metrics, ["best"], most_bytes=most_bytes, waiting_bytes=waiting_bytes)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]

    def connect():
        return http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(method, path, body=None, connection=None, **headers):
        used = connection or connect()
        used.request(method, path, body, headers)
        response = used.getresponse()
        content = response.read()
        is_json = response.headers["content-type"] == "application/json"
        return response.status, response.headers, json.loads(content) if is_json else content.decode()

    yield SimpleNamespace(ask=ask, connect=connect, batcher=batcher, url=f"http://127.0.0.1:{port}", port=port)
    server.should_exit = True
    thread.join(10)
    batcher.close()
