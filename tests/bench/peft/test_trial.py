"""The rival of `bench peft`: what PEFT trains is what a plain loop over single utterances would."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sp_search.bench.peft.speed import rival_params, ways
from sp_search.bench.peft.transformers_lm import lm_folder
from sp_search.bench.peft.trial import PeftRecipe
from sp_search.errors import ConfigError
from sp_search.lm.unit_tokens import GivenTokens
from sp_search.tasks.registry import get_task
from sp_search.types import EOS
from tests.tiny import write_tiny_corpus
from tests.transformers_models import CONFIGS, LAYERS, pair_of

PREFIX = dict(prompt_length=3, depth=LAYERS, lr=0.05, dropout=0.0, verbalizer="identity")
INPUT = {**PREFIX, "depth": 0, "lr": 0.5}
PROMPTS = pytest.mark.parametrize("params", [PREFIX, INPUT], ids=["prefix tuning", "prompt tuning"])


@pytest.fixture(scope="module", params=["qwen2", "gpt2"])
def recipe(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm")
    write_tiny_corpus(folder / "data")
    pair_of(CONFIGS[request.param](), folder)
    return PeftRecipe(
        folder=folder, tokens=GivenTokens(), data_path=folder / "data", train_utterances=0,
        task=get_task("intent"), batch_size=4, stream_seed=3, threads=1, device="cpu", arithmetic="float32",
        attention="eager",
    )  # fmt: skip


def slow_loss(trial, chosen):
    """The same by hand, an utterance at a time: what the model says behind `start source`, answer by answer."""
    total, scored = 0.0, 0
    tokens = trial.tokens
    for i in chosen:
        source = [tokens.tokens[unit] for unit in trial.data.train.source(int(i))]
        answer = [tokens.tokens[trial.units[symbol]] for symbol in trial.data.answers["train"][i]]
        start, end = tokens.tokens[tokens.start], tokens.tokens[EOS]
        row = [start, *source, start, *answer, end]
        logits = trial.model(input_ids=torch.tensor([row])).logits[0, -len(row) :]
        expected = [end, *answer, end]  # what announces an answer is the end token
        total += F.cross_entropy(logits[len(source) : -1], torch.tensor(expected), reduction="sum").item()
        scored += len(expected)
    return total / scored


@PROMPTS
def test_the_loss_of_a_padded_batch_is_that_of_its_utterances_one_by_one(recipe, params):
    trial = recipe(params, seed=1)
    lengths = np.diff(trial.data.train.offsets)
    padded = next(position for position in range(9) if len(set(lengths[trial.stream.batch(position)])) > 1)
    wanted = slow_loss(trial, trial.stream.batch(padded))
    assert trial.update(padded) == pytest.approx(wanted, rel=1e-5)


@PROMPTS
def test_training_changes_the_prompt_alone_and_brings_the_loss_down(recipe, params):
    trial = recipe(params, seed=1)
    before = {name: weight.clone() for name, weight in trial.model.named_parameters()}
    first = trial.valid_loss(0)
    for position in range(30):
        trial.update(position)
    changed = {name for name, weight in trial.model.named_parameters() if not torch.equal(weight, before[name])}
    assert changed == {"prompt_encoder.default.embedding.weight"}
    assert trial.valid_loss(0) < first - 0.1


def test_every_arithmetic_starts_near_the_same_loss(recipe):
    ours = [way for dtype in ("float32", "bfloat16") for way in ways(recipe, dtype)]
    assert len(ours) == 8
    wanted = ours[0](PREFIX, seed=1).update(0)
    for way in ours[1:]:
        assert way(PREFIX, seed=1).update(0) == pytest.approx(wanted, rel=0.02), way


def test_beside_a_prompt_that_peft_lacks_it_trains_the_nearest_one(recipe):
    infix = dict(prompt_length=3, depth=1, side="bottom", position="infix", lr=0.05)
    assert rival_params(infix, LAYERS) == {**infix, "depth": LAYERS, "side": "top", "position": "prefix"}
    assert rival_params({**infix, "depth": 0}, LAYERS)["depth"] == 0


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ({**PREFIX, "position": "infix"}, "space: expected a prefix with depth 0 or 3, which PEFT has, got "),
        ({**PREFIX, "verbalizer": "linear"}, "space: expected verbalizer other than linear and dropout=0"),
        ({**PREFIX, "verbalizer": "likelihood"}, "verbalizer: expected one that asks no LM, got likelihood"),
    ],
)
def test_what_peft_has_not_is_refused(recipe, params, fault):
    with pytest.raises(ConfigError, match=fault):
        recipe(params, seed=0)


def test_an_lm_is_a_shape_or_a_folder(tmp_path):
    with pytest.raises(ConfigError, match=r"lms: expected a folder, or a shape as qwen2:4x256x4, got 'bert:2x16x2'"):
        lm_folder("bert:2x16x2", tmp_path)
    assert lm_folder(str(tmp_path), tmp_path / "scratch") == tmp_path


def test_a_folder_that_transformers_cannot_load_is_refused(recipe, tmp_path):
    for file in recipe.folder.iterdir():
        if file.name.endswith(".json"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ConfigError, match="expected an LM that transformers loads, got"):
        replace(recipe, folder=tmp_path)(PREFIX, seed=0)
