"""An update never waits for the device, held without one: on `meta`, tensors have no values that could be read.

What reads a value fails there by itself; a copy that would wait for what the device is at is seen on its way.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from sp_search.engine.answer.label_map import LabelMap
from sp_search.engine.batch.collate import onto
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.train.train_step import TrainStep
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.trial import new_trial
from sp_search.engine.trial.weight_average import new_mean
from sp_search.prompts.tensors import PromptTensors
from tests.engine.trials import BATCH, BUDGET, TRIALS
from tests.tiny import tiny_data, tiny_lm

META = torch.device("meta")
DRY = {"dropout": 0.0, "verbalizer_dropout": 0.0}  # meta has no generator


class NoWaiting(TorchDispatchMode):
    """Refuses a copy to the device that waits for it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if kwargs.get("device") == META and func.overloadpacket.__name__ == "_to_copy":
            assert kwargs.get("non_blocking"), f"{func} waits for the device"
        return func(*args, **kwargs)


def slot_on_meta(params, lm, data):
    settings = TrialHParams.from_params({**params, **DRY})
    trial = new_trial(settings, lm, data.verbalizer_units(settings, lm.embedding), seed=0, budget=BUDGET)
    moved = {name: t.detach().to(META).requires_grad_(t.requires_grad) for name, t in trial.tensors.named().items()}
    trained = [tensor for tensor in moved.values() if tensor.requires_grad]
    return replace(
        trial,
        tensors=PromptTensors(**moved),
        mean=trial.mean and new_mean(PromptTensors(**moved)),
        verbalized=LabelMap(trial.verbalized.inputs.to(META), trial.verbalized.outputs.to(META)),
        optimizer=torch.optim.Adam(trained, foreach=True),
    )


@pytest.mark.parametrize(("tokens", "cache_bytes"), [(10**6, 10**9), (400, 0)], ids=["one pass", "many passes"])
def test_an_update_of_prompts_of_every_kind_waits_for_nothing(tokens, cache_bytes):
    lm, data = tiny_lm(), tiny_data()
    weights = fold_weights(lm, META, torch.float32)
    updater = TrainStep(weights, data, SourceCache(weights, cache_bytes, rows=0), MicrobatchSize(tokens))
    trials = [slot_on_meta(params, lm, data) for params in TRIALS.values() if "method" not in params]
    with NoWaiting():
        for position in range(2):  # the second batch meets utterances of the first
            updater.gradients(trials, np.arange(4 * position, 4 * position + BATCH))
            for trial in trials:
                trial.step(position, BATCH)
    assert all(trial.loss_sum.device == META for trial in trials)


@pytest.mark.parametrize(
    ("wait", "refusal", "text"),
    [
        (lambda x: x.sum().item(), RuntimeError, r"item\(\) cannot be called on meta tensors"),
        (lambda x: bool(x.any()), RuntimeError, r"item\(\) cannot be called on meta tensors"),
        (lambda x: x.nonzero(), RuntimeError, r"torch\.nonzero\(\)"),
        (lambda x: x[x > 0], RuntimeError, r"torch\.nonzero\(\)"),
        (lambda x: x.tolist(), RuntimeError, "Cannot copy out of meta tensor"),
        (lambda _: torch.ones(2).to(META), AssertionError, "waits for the device"),
    ],
    ids=["item", "bool", "nonzero", "mask", "tolist", "copy"],
)
def test_what_waits_is_seen(wait, refusal, text):
    with pytest.raises(refusal, match=text), NoWaiting():
        wait(torch.ones(3, device=META))


def test_a_copy_that_does_not_wait_is_let_pass():
    with NoWaiting():
        assert onto(META, torch.ones(2)).device == META
