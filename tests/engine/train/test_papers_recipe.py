"""What an update does, against the papers' recipe written out over the plain form, one utterance at a time."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sp_search.batches.stream import BatchStream
from sp_search.engine.trial.checkpoint import read_state
from sp_search.prompts.tensors import PromptTensors
from sp_search.types import EOS, SEPARATOR, SPECIALS
from tests.engine.trials import BATCH, BUDGET, walk
from tests.plain_form import plain_tail
from tests.tiny import tiny_data, tiny_lm, tiny_trainer

STREAM_SEED, FIRST, UPDATES = 3, 2, 3
STEADY = dict(dropout=0.0, lr=0.02)
RECIPES = {
    "deep": dict(prompt_length=3, depth=2),
    "deep, all layers": dict(prompt_length=3, depth=3),
    "input on both sides": dict(prompt_length=2, depth=0, position="both"),
    "deep infix": dict(prompt_length=2, depth=2, position="infix", side="bottom"),
    "linear": dict(prompt_length=2, depth=2, verbalizer="linear", verbalizer_dropout=0.0),
    "answers alone scored": dict(prompt_length=3, depth=2, score_separator=False),
    "`</s>` not scored": dict(prompt_length=3, depth=2, position="infix", score_end=False),
    "answer symbols alone": dict(prompt_length=3, depth=2, score_separator=False, score_end=False),
    "the papers' divisor": dict(prompt_length=3, depth=2, loss_scale="tokens"),
    "the papers' divisor, answers alone": dict(
        prompt_length=3, depth=2, loss_scale="tokens", score_separator=False, score_end=False, max_source_units=5
    ),
}


class WrittenOut:
    """One trial: a Python loop over utterances, torch's own Adam, clipping and cross-entropy."""

    def __init__(self, params, state, data):
        self.lm, self.data, self.params = tiny_lm(), data, params
        self.prompt = PromptTensors.from_named(
            {n: t.clone().requires_grad_() for n, t in state["tensors"].items()}, ""
        )
        self.units = state["units"]
        layers, depth = self.lm.architecture.layers, params["depth"]
        self.deep_layers = range(depth) if params.get("side") == "bottom" else range(layers - depth, layers)
        self.adam = torch.optim.Adam(list(self.prompt.named().values()), lr=params["lr"], betas=(0.9, 0.98))

    def update(self, batch):
        """One update; returns the loss in nats per scored position."""
        nll, scored, tokens = torch.zeros(()), 0, 0
        for i in batch.tolist():
            source = self.data.train.source(i).tolist()[: self.params.get("max_source_units") or None]
            symbols = self.data.answers["train"][i].tolist()
            logits = plain_tail(self.lm, self.prompt, self.deep_layers, source, [self.units[s] for s in symbols])
            columns = [self.units[s] for s in symbols]
            if self.prompt.head is not None:
                logits, columns = logits @ self.prompt.head.T, [SPECIALS + s for s in symbols]
            targets = [SEPARATOR, *columns, EOS]
            first = 0 if self.params.get("score_separator", True) else 1
            last = len(targets) - (0 if self.params.get("score_end", True) else 1)
            nll = nll + F.cross_entropy(logits[first:last], torch.tensor(targets[first:last]), reduction="sum")
            scored += last - first
            tokens += len(source) + len(targets)
        divisor = tokens if self.params.get("loss_scale") == "tokens" else scored
        self.adam.zero_grad()
        (nll / divisor).backward()
        trained = [tensor for tensor in self.prompt.named().values() if tensor.grad is not None]
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        self.adam.step()
        return float(nll.detach()) / scored


@pytest.mark.parametrize("kind", RECIPES.values(), ids=RECIPES)
def test_updates_are_the_papers_recipe_on_the_streams_batches(kind, tmp_path):
    params, data = {**STEADY, **kind}, tiny_data()
    trainer = tiny_trainer(data=data, chunk_updates=1, stream_seed=STREAM_SEED)
    walk(trainer, FIRST)
    trainer.add(1, params, seed=1, budget=BUDGET)
    trainer.save(1, tmp_path / "start")
    slow = WrittenOut(params, read_state(tmp_path / "start"), data)
    stream = BatchStream(np.diff(data.train.offsets), BATCH, STREAM_SEED)
    for update in range(UPDATES):
        loss = trainer.advance([1], {1: 0})[1].metrics["train_loss"]
        assert loss == pytest.approx(slow.update(stream.batch(FIRST + update)), rel=1e-5)
    trainer.save(1, tmp_path / "end")  # Adam divides by gradients, so rounding in small ones shows: 1e-4
    for name, tensor in read_state(tmp_path / "end")["tensors"].items():
        torch.testing.assert_close(tensor, slow.prompt.named()[name].detach(), rtol=1e-3, atol=1e-4, msg=name)
