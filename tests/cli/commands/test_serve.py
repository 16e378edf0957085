"""`sp-search serve` as a process of its own."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from sp_search.cli.commands.serve import listening
from sp_search.errors import ConfigError


def test_a_port_that_is_taken_is_told_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"^port: expected an address that is free, got 127\.0\.0\.1:{port} \("
        ):
            listening("127.0.0.1", port)


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
