"""Packs, source caches and cached decoding on LMs that are not fairseq's."""

import pytest
import torch

from sp_search.engine.answer.candidate import Candidate, answer_batch
from sp_search.engine.answer.generate import generate_answers
from sp_search.engine.answer.label_map import LabelMap, sequence_answers
from sp_search.engine.answer.loss import apply_head
from sp_search.engine.prompted.forward import target_logits
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.engine.prompted.source_cache import SourceCache
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.engine.trial.linear_probe import pooled_states
from sp_search.prompts.settings import PromptSettings
from sp_search.prompts.tensors import initial_head, initial_tensors
from tests.engine.trials import TRIALS, add_all, assert_same, trained
from tests.other_architectures import OTHERS, other_lm
from tests.tiny import CPU, tiny_split, tiny_trainer

UPDATES, LONGEST = 2, 5
UNIT_OF = (7, 4, 11, 9)
KINDS = [
    TRIALS[name]
    for name in (
        "short, all layers", "long, top layers", "input, from units", "infix, long", "both sides", "deep infix",
        "deep infix, one layer", "smoothed targets", "cut sources, linear", "averaged", "fine-tuned",
    )
]  # fmt: skip


@pytest.fixture(scope="module", params=OTHERS.values(), ids=OTHERS)
def lm(request):
    return other_lm(request.param)


@pytest.fixture(scope="module")
def alone(lm, tmp_path_factory):
    torch.set_num_threads(1)  # the fixture of each test that does so comes later
    folder, found = tmp_path_factory.mktemp("alone"), {}
    for number, params in enumerate(KINDS):
        trainer = tiny_trainer(lm)
        add_all(trainer, {number: params})
        found |= trained(trainer, [number], UPDATES, folder)
    return found


def test_a_pack_gives_each_trial_the_losses_and_tensors_it_has_alone(lm, alone, tmp_path):
    """In small micro-batches with kept source states; alone each computes them in one."""
    trainer = tiny_trainer(lm, source_cache_bytes=10**8, tokens_per_pass=200)
    add_all(trainer, dict(enumerate(KINDS)))
    together = trained(trainer, list(range(len(KINDS))), UPDATES, tmp_path)
    for number in together:
        assert_same(together[number], alone[number])


def prompted(lm, *, linear=False, **changes):
    settings = PromptSettings(**{"prompt_length": 3, "depth": 3, "dropout": 0.0, **changes})
    draw = torch.Generator().manual_seed(1)
    tensors = initial_tensors(settings, lm, draw)
    if linear:
        tensors.head = initial_head(UNIT_OF, lm.architecture, "uniform", draw) * 9
    prompt = TrialPrompt(tensors.detached(), settings.deep_layers(3), settings.is_deep_infix)
    return Candidate(prompt, LabelMap.of(UNIT_OF, linear=linear, device=CPU, architecture=lm.architecture), 0)


PROMPTS = {
    "deep prefix": {}, "deep in the top layer": dict(depth=1), "deep infix": dict(position="infix"),
    "deep infix at the bottom": dict(depth=2, side="bottom", position="infix", linear=True),
    "input prefix": dict(depth=0), "input on both sides": dict(depth=0, position="both", linear=True),
}  # fmt: skip


@pytest.mark.parametrize("changes", PROMPTS.values(), ids=PROMPTS)
def test_cached_decoding_writes_what_a_full_forward_for_every_symbol_writes(lm, changes):
    one, split, weights = prompted(lm, **changes), tiny_split("test", 7, seed=4), fold_weights(lm, CPU, torch.float32)
    found = generate_answers(weights, split, [one], [1.0], longest=LONGEST)
    for i, written in enumerate(found):
        symbols, total = [], 0.0
        batch = answer_batch(weights, split, [one], (0,), [i], SourceCache(weights, 0, rows=0))
        while len(symbols) < LONGEST:
            fed = one.verbalized.fed(torch.tensor([symbols], dtype=torch.int64))[None]
            answers = sequence_answers(fed, predicts_separator=False)
            logits = target_logits(weights, batch.block, batch.source, [one.prompt], answers)[0, 0, -1]
            logp = apply_head(logits, one.prompt.tensors.head).log_softmax(-1)[one.verbalized.choices]
            best = int(logp.argmax())
            total += float(logp[best])
            if best == len(UNIT_OF):
                break
            symbols.append(best)
        assert written.symbols == tuple(symbols)
        assert written.logp == pytest.approx(total, rel=1e-5, abs=2e-5)


def test_a_probe_reads_the_same_states_whatever_the_size_of_a_pass(lm):
    weights, split = fold_weights(lm, CPU, torch.float32), tiny_split("test", 7, seed=4)
    found = [
        pooled_states(weights, split, layer=2, pooling="mean", max_units=0, tokens_per_pass=tokens)
        for tokens in (1, 10**6)
    ]
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)


def test_bfloat16_is_near_float32(lm):
    one, split = prompted(lm), tiny_split("test", 7, seed=4)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        weights = fold_weights(lm, CPU, dtype)
        batch = answer_batch(weights, split, [one], (0,), list(range(7)), SourceCache(weights, 0, rows=0))
        fed = torch.zeros(1, 7, 2, dtype=torch.int64) + 9
        found.append(target_logits(weights, batch.block, batch.source, [one.prompt], sequence_answers(fed)))
    spread = found[0].std()
    assert (found[1] - found[0]).abs().mean() < 0.03 * spread
