"""Several devices: the same updates as on one, and a checkpoint that every process goes on from."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.pretrain.counting import trained


def train_on_two(folder, updates):
    """What either of the two processes told."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.pretrain.one_of_two", folder]
    started = [
        subprocess.Popen(
            list(map(str, [*command, rank, port, updates])),
            cwd=Path(__file__).parents[2], env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    ended = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    return [out for out, _ in ended]


def weights(path):
    return torch.load(path / "checkpoint_last.pt", weights_only=True)["model"]


@pytest.mark.slow
def test_two_devices_train_to_the_weights_of_one_also_when_they_were_cut_off(tmp_path):
    trained(tmp_path, dropout=0.0, updates=30)
    train_on_two(tmp_path, updates=10)
    first, second = train_on_two(tmp_path, updates=30)
    torch.testing.assert_close(weights(tmp_path / "two"), weights(tmp_path / "lm" / "training"), rtol=1e-3, atol=1e-4)
    assert "30 of 30 updates: perplexity " in first
    assert second == ""
    assert "@ 10 updates)" in (tmp_path / "0.log").read_text()
