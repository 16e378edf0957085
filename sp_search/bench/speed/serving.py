"""How fast a server answers over HTTP: requests a second, and how long each of them takes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import numpy as np

from sp_search.errors import ConfigError
from sp_search.files.paths import reason

PATIENCE_S = 60.0
"""How long a client waits for an answer."""


@dataclass(frozen=True)
class Load:
    """What a number of clients saw of a server."""

    clients: int
    requests_per_s: float
    p50_ms: float  # of all requests, half took less
    p99_ms: float
    statuses: dict[str, int]  # how many answers had each status of HTTP


def measured_load(url: str, bodies: Sequence[bytes], clients: int) -> Load:
    """Send requests to a server and wait for every answer.

    Args:
        url: of the server, as http://127.0.0.1:8300.
        bodies: of the requests, JSON for `POST /predict`.
        clients: each has a connection of its own, and sends its next request behind the answer to the last.

    Raises:
        ConfigError: the address is none, or no server answers there.
    """
    (host, port), own = server_address(url), threading.local()

    def send(body: bytes) -> tuple[int, float]:
        if not hasattr(own, "connection"):
            own.connection = HTTPConnection(host, port, timeout=PATIENCE_S)
        began = time.perf_counter()
        own.connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        response = own.connection.getresponse()
        response.read()
        return response.status, time.perf_counter() - began

    began = time.perf_counter()
    try:
        with ThreadPoolExecutor(clients) as pool:
            answers = list(pool.map(send, bodies))
    except (OSError, HTTPException) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"url: expected a server that answers, got {why} at {url}; begin one with sp-search serve"
        ) from error
    wall_s = time.perf_counter() - began
    p50, p99 = np.percentile([1000 * seconds for _, seconds in answers], [50, 99])
    return Load(
        clients=clients,
        requests_per_s=round(len(answers) / wall_s, 1),
        p50_ms=round(float(p50), 2),
        p99_ms=round(float(p99), 2),
        statuses=dict(Counter(str(status) for status, _ in answers)),
    )


def server_address(url: str) -> tuple[str, int]:
    """Host and port of a server.

    Raises:
        ConfigError: it is no address of HTTP.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, or none that TCP has
        host = port = None
    if not host or parts.scheme != "http" or port == 0:
        raise ConfigError(f"url: expected http://HOST:PORT, got {url!r:.80}; https is not spoken here")
    return host, port or 80
