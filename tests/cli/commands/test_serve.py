"""`sp-search serve` as a process of its own."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from sp_search.cli.commands import serve
from sp_search.cli.commands.serve import listening
from sp_search.cli.serving.app import make_app
from sp_search.cli.serving.metrics import ServerMetrics
from sp_search.errors import ConfigError
from sp_search.signals import stoppable


def test_a_port_that_is_taken_is_told_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"^port: expected an address that is free, got 127\.0\.0\.1:{port} \("
        ):
            listening("127.0.0.1", port)


def test_a_host_of_ipv6_is_listened_on():
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with listening("::1", 0) as listener:
        assert listener.family == socket.AF_INET6


@pytest.mark.parametrize("host", ["no such host", "192.0.2.1", "a" * 70 + ".x"])
def test_a_host_that_is_not_this_machines_is_not_blamed_on_the_port(host, monkeypatch):
    monkeypatch.setattr(serve.socket, "getaddrinfo", _offline(socket.getaddrinfo))
    with pytest.raises(ConfigError, match=rf"^host: expected an address of this machine, got '{host}' \("):
        listening(host, 0)


def _offline(real):
    """No name server is asked."""

    def found(host, *given, **options):
        if " " in host:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *given, **options)

    return found


def test_a_client_that_sends_half_a_request_does_not_hold_a_server_that_is_to_end(monkeypatch, caplog):
    monkeypatch.setattr(serve, "GRACE_S", 1)
    app = make_app(SimpleNamespace(waiting=0), ServerMetrics(), ["best"], most_bytes=100, waiting_bytes=100)
    with listening("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        server = serve.http_server(app)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        with socket.create_connection(address) as slow:
            slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            while not server.server_state.tasks:
                time.sleep(0.01)
            server.should_exit = True
            assert slow.recv(100).startswith(b"HTTP/1.1 503")
            thread.join(20)
    assert not thread.is_alive()
    assert "Exception in ASGI application" not in caplog.text


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_closed_terminal_or_slurm_ends_a_server_in_order_and_then_the_program(number):
    server = SimpleNamespace(should_exit=False)
    seen = []

    def run():
        with stoppable(), serve.ended_by_signals(server):
            signal.raise_signal(number)
            seen.append(server.should_exit)

    before = signal.signal(number, signal.SIG_DFL)  # nohup, which the tests may run under, ignores SIGHUP
    try:
        with pytest.raises(KeyboardInterrupt):
            run()
    finally:
        signal.signal(number, before)
    assert seen == [True]


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        server = SimpleNamespace(should_exit=False)
        with serve.ended_by_signals(server):
            signal.raise_signal(signal.SIGHUP)
        assert not server.should_exit
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_a_server_answers_and_ends_with_a_signal(exported, tmp_path):
    words = [f"prompt={exported.folder}", f"lm={exported.lm}", "port=0", f"cache={tmp_path}"]
    command = [sys.executable, "-m", "sp_search.cli", "serve", *words]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # a shell's job in the back lacks it
    )
    try:
        first = next(line for line in process.stderr if "answering" in line)
        found = re.search(r"answering at http://127\.0\.0\.1:(\d+)/predict, best; CTRL-C ends it$", first)
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        connection.request("POST", "/predict", json.dumps({"id": "a", "units": [1, 2, 3]}))
        answer = json.loads(connection.getresponse().read())
        assert set(answer) == {"id", "labels", "score"}
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
