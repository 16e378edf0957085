"""Answer over HTTP on 127.0.0.1, with one exported prompt or with several over one LM. Utterances that come in
together go through the LM together.

POST /predict takes JSON, {"units": "71 12 57"} or {"utterances": [{"id": "a", "units": [71, 12, 57]}, ...]}, or the
bytes of an audio file of any rate. It answers as `sp-search predict` prints. ?top=5 adds the five best answers, and
?id=clip.wav is the id of audio. Audio is taken where the speech model of its units is here when the server starts.
A request that can't be answered is a 400 with one line. It is a 429 where `queue` utterances or `waiting_mb` of
requests wait already, and a 413 where it is too large at any time. GET /health says who answers, GET /metrics counts
for Prometheus, and POST /reload loads the folders again while the old prompts go on answering.

    curl --data-binary @clip.wav http://127.0.0.1:8300/predict
    curl --json '{"units": "71 12 57"}' http://127.0.0.1:8300/predict
"""

from __future__ import annotations

import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.server import HANDLED_SIGNALS

from sp_search.cli.exported.prompts import exported_folders, prompt_names
from sp_search.cli.serving.app import make_app
from sp_search.cli.serving.batcher import Batcher
from sp_search.cli.serving.metrics import ServerMetrics
from sp_search.cli.settings.reads import OF_ANSWERING
from sp_search.cli.wiring.factories import prompts_of
from sp_search.config import Settings, below_one, refuse
from sp_search.errors import ConfigError
from sp_search.files.paths import reason
from sp_search.message import say
from sp_search.signals import STOPPING

GRACE_S = 8
"""How long requests may still come in and be answered behind a signal; ten seconds later SIGKILL often comes."""
BACKLOG = 1024
"""Connections that may wait to be taken."""

READS = (*OF_ANSWERING, "units.checkpoint")
EXAMPLE = "sp-search serve prompt=exports/my lm=lms/my"


@dataclass(frozen=True, kw_only=True)
class ServeSettings(Settings):
    """The prompts, the address, and the limits."""

    prompt: str  # an exported folder, or several with commas between them
    host: str = "127.0.0.1"  # 127.0.0.1 = only this machine can reach it; there is no log-in
    port: int = 8300  # TCP; 0 = one that is free
    batch: int = 64  # utterances that are answered together at most
    wait_ms: float = 2.0  # how long the first of a batch waits for others, 0 or more
    queue: int = 1024  # utterances that may wait; what is beyond is refused with 429
    most_mb: int = 32  # of a request; what is larger is refused with 413
    waiting_mb: int = 1024  # of all requests that come in or wait; what is beyond is refused with 429

    def __post_init__(self) -> None:
        super().__post_init__()
        faults = below_one(self, "batch", "queue", "most_mb", "waiting_mb")
        if self.waiting_mb < self.most_mb:
            faults.append(f"waiting_mb: expected most_mb, {self.most_mb}, or more, got {self.waiting_mb}")
        if not 0 <= self.wait_ms < 10_000:
            faults.append(f"wait_ms: expected 0 or more and below 10,000, got {self.wait_ms}")
        if not 0 <= self.port < 65536:
            faults.append(f"port: expected 0 to 65535, got {self.port}")
        refuse(faults)


def run(config: ServeSettings) -> int:
    """Answer until a signal comes; then answer what waits, and end."""
    folders = exported_folders(config.prompt)
    names = prompt_names(folders)
    prompts = prompts_of(config, folders, config.units.checkpoint)
    say(*prompts.check_units())
    metrics = ServerMetrics()
    batcher = Batcher(prompts, metrics, most=config.batch, wait_s=config.wait_ms / 1000, longest_queue=config.queue)
    fault = batcher.audio_fault
    say(f"audio is refused: {fault}" if fault else "audio is taken: what makes its units is ready")
    sizes = {"most_bytes": config.most_mb * 10**6, "waiting_bytes": config.waiting_mb * 10**6}
    app = make_app(batcher, metrics, names, **sizes)
    try:
        with listening(config.host, config.port) as listener:
            host, port = listener.getsockname()[:2]
            host = f"[{host}]" if ":" in host else host
            say(f"answering at http://{host}:{port}/predict, {', '.join(names)}; CTRL-C ends it")
            server = http_server(app)
            with ended_by_signals(server):
                server.run([listener])
    finally:
        batcher.close()
    return 0


def http_server(app: Callable[..., Any]) -> uvicorn.Server:
    """A server that ends `GRACE_S` after it was told to at the latest, whatever its clients do."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=GRACE_S)
    return uvicorn.Server(config)


@contextmanager
def ended_by_signals(server: uvicorn.Server) -> Iterator[None]:
    """Let the signals that uvicorn does not know end a server in order too, and raise them again behind it."""
    before = {number: signal.getsignal(number) for number in STOPPING if number not in HANDLED_SIGNALS}
    taken = [number for number, handler in before.items() if handler != signal.SIG_IGN]
    came: list[signal.Signals] = []

    def end(number: int, _: object) -> None:
        came.append(signal.Signals(number))
        server.should_exit = True

    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
    if came:
        signal.raise_signal(came[0])


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there, of IPv4 or IPv6 as the host has it.

    Raises:
        ConfigError: the host is not this machine's, or another program has the port.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        why = reason(error)
        if isinstance(error, UnicodeError | socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise ConfigError(
                f"host: expected an address of this machine, got {host!r:.80} ({why}); 127.0.0.1 is for it alone, "
                f"0.0.0.0 for all that reach it"
            ) from error
        raise ConfigError(
            f"port: expected an address that is free, got {host}:{port} ({why}); choose another with port="
        ) from error
