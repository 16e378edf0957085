"""The baseline against the papers' own arrays, and against the engine: two ways of one function."""

import numpy as np
import pytest
import torch

from sp_search.bench.papers.fairseq_lm import fairseq_decoder
from sp_search.bench.papers.prompt_rows import lay_out, prompt_rows, row_logits
from sp_search.engine.answer.label_map import UNSCORED, sequence_answers
from sp_search.engine.batch.collate import collate_sources
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.engine.prompted.source_states import run_source, source_levels
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.prompts.settings import PromptSettings
from sp_search.prompts.tensors import PromptTensors, initial_tensors
from sp_search.types import EOS, PAD, SEPARATOR
from tests.golden_cases import CASES, FOLDER, golden_case, golden_lm
from tests.tiny import CPU, tiny_lm

LAYERS = 3
SHAPES = [
    dict(depth=3),
    dict(depth=2, side="top"),
    dict(depth=1, side="bottom"),
    dict(depth=0),
    dict(depth=0, position="infix"),
    dict(depth=0, position="both"),
    dict(depth=3, position="infix"),
    dict(depth=1, position="infix", side="top"),
]
SOURCES = [np.array(source, dtype=np.int32) for source in ([5, 9, 9, 12, 4, 7], [8], [*range(4, 16)], [11, 4])]
ANSWERS = torch.tensor([[7, 5], [4, 4], [15, 6], [9, 8]])


def summed_nll(logits, targets):
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), targets.flatten(), ignore_index=UNSCORED, reduction="sum"
    )


def gradients(tensors, loss):
    named = {name: tensor for name, tensor in tensors.named().items() if tensor.requires_grad}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {n: torch.zeros_like(named[n]) if g is None else g for n, g in zip(named, found, strict=True)}


def targets_of(answers):
    edge = answers.new_ones(len(answers), 1)
    return torch.cat([edge * SEPARATOR, answers, edge * EOS], dim=1)


@pytest.mark.parametrize("name", CASES)
def test_the_baseline_is_the_papers_code_in_logits_loss_and_every_gradient(name):
    lm, case = golden_lm(), golden_case(name)
    arrays = np.load(FOLDER / f"{name}.npz")
    lines = [[token for token in row if token != PAD] for row in arrays["target"].tolist()]
    sources = [np.array(line[: line.index(SEPARATOR)], dtype=np.int32) for line in lines]
    deep_layers = range(LAYERS) if case.tensors.keys is not None else range(0)
    prompt = TrialPrompt(case.tensors, deep_layers, case.is_infix)
    rows = lay_out(sources, case.answers.tokens[0], case.targets, *prompt_rows(prompt))
    logits = row_logits(fairseq_decoder(lm), rows, prompt)
    for found, wanted, line in zip(logits, torch.from_numpy(arrays["logits"]), lines, strict=True):
        end = len(rows.prompt) + len(line)
        torch.testing.assert_close(found[:end], wanted[:end], rtol=1e-5, atol=1e-5)
    loss = summed_nll(logits, rows.targets)
    torch.testing.assert_close(loss, case.loss, rtol=1e-5, atol=1e-5)
    for tensor, grad in gradients(case.tensors, loss).items():
        torch.testing.assert_close(grad, case.grads[tensor].view(grad.shape), rtol=1e-5, atol=1e-5, msg=tensor)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_engine_has_the_baselines_loss_and_gradients(shape):
    lm, settings = tiny_lm(seed=4), PromptSettings(**{"prompt_length": 5, **shape})
    tensors = initial_tensors(settings, lm, torch.Generator().manual_seed(7))
    is_infix = settings.position == "infix" and settings.depth > 0
    prompt = TrialPrompt(tensors, settings.deep_layers(LAYERS), is_infix)

    rows = lay_out(SOURCES, ANSWERS, targets_of(ANSWERS), *prompt_rows(prompt))
    slow = summed_nll(row_logits(fairseq_decoder(lm), rows, prompt), rows.targets)

    weights = fold_weights(lm, CPU, torch.float32)
    block = collate_sources(SOURCES, max_units=0, device=CPU)
    source = run_source(weights, block, source_levels([prompt.first_live_layer], weights.architecture.layers))
    fast = summed_nll(
        target_logits(weights, block, source, [prompt], sequence_answers(ANSWERS[None]))[0], targets_of(ANSWERS)
    )

    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-4)
    wanted = gradients(tensors, slow)
    for name, grad in gradients(tensors, fast).items():
        torch.testing.assert_close(
            grad, wanted[name], rtol=1e-4, atol=1e-5 * float(wanted[name].abs().max() + 1), msg=name
        )


def test_rows_hold_a_prefix_in_front_and_an_infix_before_the_separator():
    rows = lay_out([SOURCES[1], SOURCES[3]], ANSWERS[:2], targets_of(ANSWERS[:2]), before=2, behind=1)
    assert rows.tokens.tolist() == [
        [PAD, PAD, EOS, 8, PAD, SEPARATOR, 7, 5, PAD],
        [PAD, PAD, EOS, 11, 4, PAD, SEPARATOR, 4, 4],
    ]
    assert rows.targets.tolist() == [
        [-100, -100, -100, -100, SEPARATOR, 7, 5, EOS, -100],
        [-100, -100, -100, -100, -100, SEPARATOR, 4, 4, EOS],
    ]
    assert rows.prompt.T.tolist() == [[0, 1, 4], [0, 1, 5]]


def test_a_decoder_is_left_without_a_prompt_of_the_last_call():
    lm = tiny_lm()
    decoder = fairseq_decoder(lm)
    separator = lm.embedding[SEPARATOR].clone()
    rows = lay_out(SOURCES, ANSWERS, targets_of(ANSWERS), 0, 0)
    plain = TrialPrompt(PromptTensors(separator=separator), range(0), is_infix=False)
    before = row_logits(decoder, rows, plain)
    deep = initial_tensors(PromptSettings(prompt_length=2, depth=3), lm, torch.Generator().manual_seed(0))
    prompt = TrialPrompt(deep, range(3), is_infix=False)
    row_logits(decoder, lay_out(SOURCES, ANSWERS, targets_of(ANSWERS), *prompt_rows(prompt)), prompt)
    torch.testing.assert_close(row_logits(decoder, rows, plain), before, rtol=0, atol=0)
