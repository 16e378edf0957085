"""LMs in the `transformers` format, through the engine, against `transformers` itself, in float32."""

import numpy as np
import pytest
import torch

from sp_search.engine.answer.label_map import sequence_answers
from sp_search.engine.batch.collate import collate_sources
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.engine.prompted.source_states import run_source, source_levels
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.prompts.tensors import PromptTensors
from sp_search.types import SEPARATOR
from tests.tiny import CPU
from tests.transformers_models import CONFIGS, LAYERS, model_logits, pair_of

SOURCES = [np.array(units) for units in ([5, 9, 9, 13, 4, 17, 6], [8], list(range(4, 20)), [11, 4])]
ANSWERS = torch.tensor([[8, 6, 19], [4, 4, 4], [13, 5, 9], [7, 8, 9]])


@pytest.fixture(scope="module", params=CONFIGS.values(), ids=CONFIGS)
def pair(request, tmp_path_factory):
    return pair_of(request.param(), tmp_path_factory.mktemp("lm"))


def engine_tail(lm, prompt):
    """Logits (B, 2 + M, columns): rows that predict `<s>`, the answer and `</s>`."""
    weights = fold_weights(lm, CPU, torch.float32)
    block = collate_sources(SOURCES, max_units=0, device=CPU)
    source = run_source(weights, block, source_levels([prompt.first_live_layer], LAYERS))
    return target_logits(weights, block, source, [prompt], sequence_answers(ANSWERS[None]))[0]


def test_an_imported_lm_has_the_logits_of_the_original(pair):
    lm = pair.loaded.lm
    prompt = TrialPrompt(PromptTensors(separator=lm.input_rows()[SEPARATOR]), range(0), is_infix=False)
    ours = engine_tail(lm, prompt)
    rows = [
        [pair.start, *map(pair.token, source.tolist()), pair.start, *map(pair.token, answer.tolist())]
        for source, answer in zip(SOURCES, ANSWERS, strict=True)
    ]
    theirs = model_logits(pair, rows)
    wanted = torch.stack([of_row[len(s) : len(s) + 5] for s, of_row in zip(SOURCES, theirs, strict=True)])
    assert wanted.abs().max() > 0.5
    torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("position", ["prefix", "infix", "both"])
def test_an_input_prompt_is_rows_of_the_sequence_at_successive_positions(pair, position):
    """As in PEFT's prompt tuning, which puts its rows in front; an infix stands before `<s>` in the same way."""
    if pair.loaded.lm.project_in is not None:
        pytest.skip("transformers takes its rows before the projection, the engine's stand behind it")
    lm, draw = pair.loaded.lm, torch.Generator().manual_seed(3)
    width = lm.architecture.embed_dim
    before = torch.randn(4, width, generator=draw) if position != "infix" else None
    behind = torch.randn(3, width, generator=draw) if position != "prefix" else None
    prompt = TrialPrompt(PromptTensors(torch.randn(width, generator=draw), before, behind), range(0), is_infix=False)
    weights = fold_weights(lm, CPU, torch.float32)
    ahead = len(before) if before is not None and not lm.architecture.is_rotary else 0
    block = collate_sources(SOURCES, max_units=0, device=CPU, ahead=ahead)
    source = run_source(weights, block, source_levels([prompt.first_live_layer], LAYERS))
    ours = target_logits(weights, block, source, [prompt], sequence_answers(ANSWERS[None]))[0]
    embed, none = pair.model.get_input_embeddings(), torch.empty(0, width)
    for b, (units, answer) in enumerate(zip(SOURCES, ANSWERS, strict=True)):
        heard = embed(torch.tensor([pair.start, *map(pair.token, units.tolist())]))
        said = embed(torch.tensor([*map(pair.token, answer.tolist())]))
        parts = [none if before is None else before, heard, none if behind is None else behind]
        rows = torch.cat([*parts, prompt.tensors.separator[None], said])
        wanted = pair.model(inputs_embeds=rows[None]).logits[0, -5:, pair.columns]
        torch.testing.assert_close(ours[b], wanted, rtol=1e-5, atol=1e-5)
