"""Cached, batched decoding writes what the slow form writes, which runs the whole sequence again for every symbol."""

import pytest
import torch

from sp_search.engine.answer.generate import generate_answers
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.tasks.trie import AnswerTrie
from sp_search.types import EOS, SPECIALS
from tests.engine.answer.test_score import PROMPTS, SYMBOLS, UNIT_OF, candidate
from tests.plain_form import plain_tail
from tests.tiny import CPU, split_of, tiny_lm, tiny_split

SHAPES = {
    **PROMPTS,
    "deep at the bottom": dict(depth=1, side="bottom"),
    "deep infix in one layer": dict(depth=1, position="infix"),
    "linear, input": dict(depth=0, linear=True),
    "linear, deep infix, cut": dict(depth=3, position="infix", linear=True, max_source_units=4),
}
LEGAL = ((0, 1, 2), (0, 1), (4, 4, 4, 4, 4), (3,), (2, 0, 3, 1))
LONGEST = 7


@pytest.fixture(scope="module")
def lm():
    """Of weights so large that answers differ between utterances and come to their ends."""
    return tiny_lm(seed=5)


def next_log_probs(lm, one, source, answer):
    """What one prompt expects behind an answer's beginning, by the plain form: (C + 1,), `</s>` last."""
    source = source[: one.max_source_units or None]
    logits = plain_tail(lm, one.prompt.tensors, one.prompt.deep_layers, source, [UNIT_OF[s] for s in answer])[-1]
    columns = list(UNIT_OF)
    if one.prompt.tensors.head is not None:
        logits, columns = one.prompt.tensors.head @ logits, list(range(SPECIALS, SPECIALS + SYMBOLS))
    return logits.log_softmax(-1)[[*columns, EOS]]


def slowly(lm, members, source, *, longest, legal=None):
    """One answer by the plain form: symbols and their mean log-probability, `</s>` included where it came to one."""
    answer, total = [], 0.0
    while len(answer) < longest:
        logp = sum(share * next_log_probs(lm, one, source, answer) for one, share in members)
        choices = {symbol: float(share) for symbol, share in zip([*range(SYMBOLS), None], logp, strict=True)}
        if legal is not None:
            going = [other for other in legal if other[: len(answer)] == tuple(answer)]
            may = {other[len(answer)] if len(other) > len(answer) else None for other in going}
            choices = {choice: share for choice, share in choices.items() if choice in may}
        choice = max(choices, key=choices.get)
        total += choices[choice]
        if choice is None:
            break
        answer.append(choice)
    return tuple(answer), total


def often_ending(lm, one):
    """The same prompt with a head, or an LM, that is inclined to end."""
    if one.prompt.tensors.head is not None:
        one.prompt.tensors.head[EOS] *= 3
    return one


@pytest.mark.parametrize("legal", [None, LEGAL], ids=["free", "legal"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_cached_decoding_writes_what_a_full_forward_for_every_symbol_writes(lm, shape, legal):
    one, split = often_ending(lm, candidate(lm, **shape)), tiny_split("test", 9, seed=4)
    trie = AnswerTrie(legal) if legal else None
    found = generate_answers(fold_weights(lm, CPU, torch.float32), split, [one], [1.0], longest=LONGEST, trie=trie)
    for i, written in enumerate(found):
        symbols, logp = slowly(lm, [(one, 1.0)], split.source(i).tolist(), longest=LONGEST, legal=legal)
        assert written.symbols == symbols
        assert written.logp == pytest.approx(logp, rel=1e-5, abs=2e-5)


@pytest.mark.parametrize("budget", [17, 10**6])
@pytest.mark.parametrize("legal", [None, LEGAL], ids=["free", "legal"])
def test_prompts_of_every_kind_write_the_answer_of_their_mean(lm, legal, budget):
    """Prefixes, infixes and cut sources side by side, with heads and without, each with the units of its own."""
    shares = [0.3, 0.25, 0.2, 0.15, 0.1]
    shapes = [dict(depth=3), dict(depth=1, position="infix"), dict(depth=2, max_source_units=4)]
    shapes += [dict(depth=0, linear=True), dict(depth=3, position="infix", linear=True)]
    members = [often_ending(lm, candidate(lm, seed=k, **shape)) for k, shape in enumerate(shapes)]
    split, trie = tiny_split("test", 9, seed=4), AnswerTrie(legal) if legal else None
    weights, size = fold_weights(lm, CPU, torch.float32), MicrobatchSize(budget)
    found = generate_answers(weights, split, members, shares, longest=LONGEST, trie=trie, size=size)
    alone = generate_answers(weights, split, members[:1], [1.0], longest=LONGEST, trie=trie, size=size)
    assert [one.symbols for one in found] != [one.symbols for one in alone], "else the others would not be heard"
    for i, written in enumerate(found):
        source = split.source(i).tolist()
        symbols, logp = slowly(lm, list(zip(members, shares, strict=True)), source, longest=LONGEST, legal=legal)
        assert written.symbols == symbols
        assert written.logp == pytest.approx(logp, rel=1e-5, abs=2e-5)


def test_the_cases_above_end_at_once_later_and_at_the_bound(lm):
    """Else they would prove little of rows that leave the batch."""
    lengths = set()
    for shape in SHAPES.values():
        one, split = often_ending(lm, candidate(lm, **shape)), tiny_split("test", 9, seed=4)
        found = generate_answers(fold_weights(lm, CPU, torch.float32), split, [one], [1.0], longest=LONGEST)
        lengths |= {len(written.symbols) for written in found}
    assert {0, LONGEST} < lengths


@pytest.mark.parametrize("budget", [1, 17, 64, 10**6])
def test_answers_do_not_depend_on_the_size_of_a_pass(lm, budget):
    weights, split = fold_weights(lm, CPU, torch.float32), tiny_split("test", 20, seed=4)
    for shape in SHAPES.values():
        one = candidate(lm, **shape)
        found = generate_answers(weights, split, [one], [1.0], longest=LONGEST, size=MicrobatchSize(budget))
        wanted = generate_answers(weights, split, [one], [1.0], longest=LONGEST)
        assert [written.symbols for written in found] == [written.symbols for written in wanted]


@pytest.mark.parametrize("longest", [1, 2, 5])
def test_no_answer_is_longer_than_the_bound(lm, longest):
    split = tiny_split("test", 12, seed=4)
    found = generate_answers(
        fold_weights(lm, CPU, torch.float32), split, [candidate(lm, depth=3)], [1.0], longest=longest
    )
    assert max(len(written.symbols) for written in found) == longest


def test_a_last_symbol_may_stand_on_the_lms_last_position():
    """12 positions: `</s>`, 5 units, `<s>` and 5 symbols, the last of which nothing follows."""
    lm = tiny_lm(max_positions=12)
    split = split_of([[5, 6, 7, 8, 9]], [()], "test")
    found = generate_answers(fold_weights(lm, CPU, torch.float32), split, [candidate(lm, depth=3)], [1.0], longest=5)
    assert len(found) == 1
