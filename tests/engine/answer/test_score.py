import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sp_search.engine.answer.answer_tree import answer_numbers, answer_tree
from sp_search.engine.answer.candidate import Candidate
from sp_search.engine.answer.label_map import LabelMap
from sp_search.engine.answer.score import score_answers
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.prompts.settings import PromptSettings
from sp_search.prompts.tensors import initial_head, initial_tensors
from sp_search.types import EOS, SPECIALS
from tests.plain_form import plain_tail
from tests.tiny import CPU, tiny_architecture, tiny_lm, tiny_split

SYMBOLS = 5
UNIT_OF = (9, 4, 17, 12, 6)
LEGAL = {
    "a branching tree": ((0, 1, 2), (0, 1, 3), (0, 4, 2), (3, 1, 2), (3, 3, 3)),
    "one answer": ((2, 1, 0),),
    "single labels": ((0,), (3,), (1,)),
    "answers inside others": ((0,), (0, 1), (0, 1, 2), (4,)),
}
PROMPTS = {
    "deep": dict(depth=2),
    "all layers": dict(depth=3),
    "input": dict(depth=0),
    "infix": dict(depth=0, position="infix"),
    "both": dict(depth=0, position="both"),
    "deep infix": dict(depth=2, position="infix"),
    "linear": dict(depth=2, linear=True),
    "cut": dict(depth=1, max_source_units=3),
}


@pytest.fixture(scope="module")
def lm():
    return tiny_lm()


def candidate(lm, *, seed=0, linear=False, max_source_units=0, **shape):
    chosen = PromptSettings(**{"prompt_length": 3, **shape})
    draw = torch.Generator().manual_seed(seed)
    tensors = initial_tensors(chosen, lm, draw)
    if linear:
        tensors.head = initial_head(UNIT_OF, tiny_architecture(), "uniform", draw)
    prompt = TrialPrompt(
        tensors.detached(),
        chosen.deep_layers(lm.architecture.layers),
        chosen.position == "infix" and chosen.depth > 0,
    )
    return Candidate(prompt, LabelMap.of(UNIT_OF, linear=linear, device=CPU), max_source_units)


def one_by_one(lm, one, split, legal):
    """Log-probability of each answer, by the plain form, one at a time: (N, answers).

    With its `</s>` where answers differ in length.
    """
    ended = len(set(map(len, legal))) > 1
    scores = torch.empty(len(split), len(legal))
    for i in range(len(split)):
        source = split.source(i).tolist()[: one.max_source_units or None]
        for k, answer in enumerate(legal):
            units = [UNIT_OF[symbol] for symbol in answer]
            logits = plain_tail(lm, one.prompt.tensors, one.prompt.deep_layers, source, units)[1:]
            columns = units
            if one.prompt.tensors.head is not None:
                logits, columns = logits @ one.prompt.tensors.head.T, [SPECIALS + symbol for symbol in answer]
            steps = logits.log_softmax(-1)[range(len(answer) + 1), [*columns, EOS]]
            scores[i, k] = steps.sum() if ended else steps[:-1].sum()
    return scores


@pytest.mark.parametrize("shape", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("legal", LEGAL.values(), ids=LEGAL)
def test_the_tree_scores_every_answer_as_if_it_were_asked_alone(lm, legal, shape):
    one, split = candidate(lm, **shape), tiny_split("test", 6, seed=4)
    found = score_answers(fold_weights(lm, CPU, torch.float32), split, answer_tree(legal, CPU), [one])[0]
    torch.testing.assert_close(found, one_by_one(lm, one, split, legal), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("budget", [1, 17, 64, 10**6])
def test_scores_do_not_depend_on_the_size_of_a_pass(lm, budget):
    weights, split, tree = fold_weights(lm, CPU, torch.float32), tiny_split("test", 20, seed=4), answer_tree(
        LEGAL["a branching tree"], CPU
    )  # fmt: skip
    candidates = [candidate(lm, **shape) for shape in PROMPTS.values()]
    found = score_answers(weights, split, tree, candidates, MicrobatchSize(budget))
    torch.testing.assert_close(found, score_answers(weights, split, tree, candidates), rtol=1e-5, atol=2e-5)


def test_many_prompts_at_once_score_as_each_alone(lm):
    weights, split = fold_weights(lm, CPU, torch.float32), tiny_split("test", 9, seed=4)
    tree = answer_tree(LEGAL["a branching tree"], CPU)
    candidates = [candidate(lm, seed=k, **shape) for k, shape in enumerate(PROMPTS.values())]
    together = score_answers(weights, split, tree, candidates)
    for found, one in zip(together, candidates, strict=True):
        torch.testing.assert_close(found, score_answers(weights, split, tree, [one])[0], rtol=1e-5, atol=2e-5)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple), min_size=1, unique=True).map(tuple))
def test_a_tree_has_one_node_for_each_beginning_and_each_sees_its_own(legal):
    tree = answer_tree(legal, CPU)
    ended = len(set(map(len, legal))) > 1
    beginnings = {answer[:end] for answer in legal for end in range(len(answer) + ended)}
    assert len(tree.depth) == len(beginnings)
    assert (tree.ends is not None) == ended
    for row, answer in enumerate(legal):
        nodes = [node for node in tree.parents[row].tolist() if node >= 0]
        assert [symbol for symbol in tree.steps[row].tolist() if symbol >= 0] == list(answer)
        nodes += [int(tree.ends[row])] if ended else []
        assert [tree.symbols[node - 1] for node in nodes[1:]] == list(answer[: len(nodes) - 1])
        assert tree.depth[nodes].tolist() == list(range(len(nodes)))
        assert tree.visible[nodes[-1]].nonzero()[:, 0].tolist() == sorted(nodes)


def test_an_answer_that_is_not_legal_has_no_number():
    legal = LEGAL["answers inside others"]
    answers = np.array([[0, 1, -1], [4, -1, -1], [0, 1, 2], [1, -1, -1], [0, 4, -1]], dtype=np.int32)
    assert answer_numbers(legal, answers).tolist() == [1, 3, 2, -1, -1]
