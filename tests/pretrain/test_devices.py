"""Several devices: the same updates as on one, and a checkpoint that every process goes on from."""

import multiprocessing
import socket

import pytest
import torch

from tests.pretrain.counting import trained
from tests.pretrain.one_of_two import train_as


def train_on_two(folder, updates):
    """What either of the two processes told; all are forked off one that has imported fairseq and done nothing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([train_as.__module__])
    started = [context.Process(target=train_as, args=(rank, folder, port, updates)) for rank in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join(120)
    assert [process.exitcode for process in started] == [0, 0]
    return [(folder / f"{rank}.told").read_text() for rank in range(2)]


def weights(path):
    return torch.load(path / "checkpoint_last.pt", weights_only=True)["model"]


@pytest.mark.slow
@pytest.mark.long
def test_two_devices_train_to_the_weights_of_one_also_when_they_were_cut_off(tmp_path):
    trained(tmp_path, dropout=0.0, updates=30)
    train_on_two(tmp_path, updates=10)
    first, second = train_on_two(tmp_path, updates=30)
    torch.testing.assert_close(weights(tmp_path / "two"), weights(tmp_path / "lm" / "training"), rtol=1e-3, atol=1e-4)
    assert "30 of 30 updates: perplexity " in first
    assert second == ""
    assert "@ 10 updates)" in (tmp_path / "0.log").read_text()
