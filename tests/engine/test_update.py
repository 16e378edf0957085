"""What an update does where memory runs out, and that it never waits for the device."""

from dataclasses import replace

import pytest
import torch

from sp_search.engine import scoring, update
from sp_search.engine.forward import tail_logits
from tests.engine.trials import TRIALS, add_all, assert_same, trained
from tests.tiny import tiny_pack

UPDATES = 4
ROOM = 5  # rows of all trials that fit at once, of 15 trials of 8 rows


class FailsBackward(torch.autograd.Function):
    """Memory that runs out at the very end of a backward pass, with most of the gradients computed."""

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        raise torch.OutOfMemoryError("CUDA out of memory")


class SmallDevice:
    """`tail_logits` where so many rows fit."""

    def __init__(self, *, forward: int, backward: int) -> None:
        self.forward, self.backward, self.refused = forward, backward, 0

    def __call__(self, weights, block, trunk, prompts, answers):
        rows = len(prompts) * len(block.units)
        if rows > self.forward:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        if rows > self.backward:
            self.refused += 1
            last = prompts[-1]
            separator = FailsBackward.apply(last.tensors.separator)
            prompts = [*prompts[:-1], replace(last, tensors=replace(last.tensors, separator=separator))]
        return tail_logits(weights, block, trunk, prompts, answers)


@pytest.fixture(scope="module")
def roomy(tmp_path_factory):
    """All trials on a device that holds them."""
    pack = tiny_pack()
    add_all(pack, dict(enumerate(TRIALS.values())))
    return trained(pack, range(len(TRIALS)), UPDATES, tmp_path_factory.mktemp("roomy"))


@pytest.mark.parametrize(
    "room", [{"forward": ROOM, "backward": 10**9}, {"forward": 10**9, "backward": ROOM}], ids=lambda room: min(room)
)
def test_where_memory_runs_out_trials_train_as_where_it_does_not(room, roomy, tmp_path, monkeypatch):
    device = SmallDevice(**room)
    monkeypatch.setattr(update, "tail_logits", device)
    pack = tiny_pack()
    add_all(pack, dict(enumerate(TRIALS.values())))
    found = trained(pack, range(len(TRIALS)), UPDATES, tmp_path)
    assert device.refused
    for number, wanted in roomy.items():
        assert_same(found[number], wanted)


def test_a_pack_whose_passes_were_halved_keeps_to_it(tmp_path, monkeypatch):
    device = SmallDevice(forward=ROOM, backward=10**9)
    monkeypatch.setattr(update, "tail_logits", device)
    pack = tiny_pack()
    add_all(pack, {1: TRIALS["short, all layers"], 2: TRIALS["long, top layers"]})
    trained(pack, [1, 2], 2, tmp_path)
    tokens, refused = pack.facts(1)["tokens_per_pass"], device.refused
    assert refused
    assert tokens < 10**6
    trained(pack, [1, 2], 20, tmp_path)
    assert pack.facts(1)["tokens_per_pass"] <= tokens
    assert device.refused <= refused + 1  # a batch of shorter sources has more rows in as many tokens


def test_validation_where_memory_runs_out_measures_the_same(tmp_path, monkeypatch):
    pack = tiny_pack()
    add_all(pack, {1: TRIALS["deep infix"], 2: TRIALS["linear, decaying"]})
    wanted = {number: pack.evaluate(number, "valid") for number in (1, 2)}
    device = SmallDevice(forward=3, backward=10**9)
    monkeypatch.setattr(scoring, "tail_logits", device)
    for number, metrics in wanted.items():
        assert pack.evaluate(number, "valid") == pytest.approx(metrics, rel=1e-5)
    assert device.refused
