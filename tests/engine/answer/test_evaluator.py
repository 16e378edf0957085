"""What a prompt's answers come to: the metrics of a task, by the best legal answer or by the written one."""

import math

import numpy as np
import pytest
import torch

from sp_search.engine.answer import evaluator
from sp_search.engine.answer.answer_tree import answer_tree
from sp_search.engine.answer.evaluator import AnswerModel, SplitAnswers
from sp_search.engine.answer.score import answer_nll, score_answers, symbol_log_probs
from sp_search.engine.runtime.microbatch import MicrobatchSize
from sp_search.engine.transformer.folded_weights import fold_weights
from sp_search.errors import ConfigError
from sp_search.metrics.measures import measure
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.registry import Task, get_task
from tests.engine.answer.test_score import LEGAL, candidate, one_by_one
from tests.tiny import CPU, split_of, tiny_lm, tiny_split

LETTERS = "abcde"
TRIPLE = Task("triple", slots=("x", "y", "z"))


@pytest.fixture(scope="module")
def lm():
    return tiny_lm()


def space_of(legal):
    return LabelSpace(tuple(LETTERS), (1,) * 5, tuple(legal), (1,) * len(legal))


def answerer(lm, legal, task):
    return AnswerModel(fold_weights(lm, CPU, torch.float32), space_of(legal), task)


def chosen(made, split, one):
    return made.choose(made.scores(split, [one])[0])


def labelled(answers, seed=4):
    """Utterances with the given answers, as label symbols."""
    sources = [tiny_split("test", len(answers), seed).source(i).tolist() for i in range(len(answers))]
    return split_of(sources, [[LETTERS[symbol] for symbol in answer] for answer in answers], "test")


def test_metrics_are_the_share_of_hits_and_the_mean_nll_an_answer_unit(lm):
    """Over the scores one by one; the last utterance's answer is not legal: a miss, and no part of the loss."""
    legal = LEGAL["a branching tree"]
    one = candidate(lm, depth=2)
    scores = one_by_one(lm, one, labelled([()] * 6), legal)
    best = scores.argmax(-1).tolist()
    answers = [legal[best[0]], legal[best[1]], *(legal[(k + 1) % len(legal)] for k in best[2:5]), (4, 4, 4)]
    found = answerer(lm, legal, TRIPLE).metrics(labelled(answers), np.array(answers, dtype=np.int32), [one])
    gold = [legal.index(answer) for answer in answers[:5]]
    nll = -float(scores[range(5), gold].mean()) / 3  # three labels each, so no `</s>` is asked for
    assert found == [{"accuracy": pytest.approx(2 / 6), "loss": pytest.approx(nll, rel=1e-5)}]


def test_a_split_without_one_legal_answer_has_no_hit_and_no_loss(lm):
    """A loss of NaN would read as a trial that diverged."""
    split = labelled([(4, 4, 4)] * 2)
    found = answerer(lm, LEGAL["one answer"], TRIPLE).metrics(
        split, np.array([[4, 4, 4]] * 2), [candidate(lm, depth=1)]
    )
    assert found == [{"accuracy": 0.0}]


def test_the_loss_of_answers_of_different_lengths_is_divided_by_the_symbols_that_they_have(lm):
    """One symbol and three, each with its `</s>`: 2 + 4 + 2 symbols over three utterances."""
    legal, one = ((0,), (1, 2, 3)), candidate(lm, depth=2)
    task = get_task("asr", answer_format="characters", decoding="best")
    split = split_of(
        [tiny_split("test", 3, 4).source(i).tolist() for i in range(3)], [("a",), ("bcd",), ("a",)], "test"
    )
    scores = one_by_one(lm, one, split, legal)
    nats = -float(scores[0, 0] + scores[1, 1] + scores[2, 0])
    padded = np.array([[0, -1, -1], [1, 2, 3], [0, -1, -1]], dtype=np.int32)
    (found,) = answerer(lm, legal, task).metrics(split, padded, [one])
    assert found["loss"] == pytest.approx(nats / 8, rel=1e-5)


def test_the_best_legal_answer_comes_with_the_share_of_each(lm):
    legal, one, split = LEGAL["a branching tree"], candidate(lm, depth=2), labelled([()] * 4)
    shares = score_answers(fold_weights(lm, CPU, torch.float32), split, answer_tree(legal, CPU), [one])[0].softmax(-1)
    names = [" ".join(LETTERS[symbol] for symbol in answer) for answer in legal]
    for row, answered in enumerate(chosen(answerer(lm, legal, TRIPLE), split, one)):
        wanted = dict(zip(names, shares[row].tolist(), strict=True))
        assert answered.scores == pytest.approx(wanted, abs=1e-6)
        assert " ".join(answered.words) == max(wanted, key=wanted.get) == next(iter(answered.scores))


def test_a_chosen_answer_comes_with_its_share_and_that_of_the_wanted_one_where_training_has_it(lm):
    """Scores of two utterances by hand: the second one's answer is none of training's."""
    legal = ((0,), (1,), (2,))
    made = answerer(lm, legal, get_task("keyword", answer_format="words", decoding="best"))
    scores = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 3.0]])
    found = made.chosen(scores, np.array([[1], [4]], dtype=np.int32))
    e = math.e
    given, wanted = e**2 / (e**2 + e + 1), e / (e**2 + e + 1)
    assert found.words == [("a",), ("b",)], "the first of equals"
    assert found.shares == [(round(given, 6), round(wanted, 6)), (round(e**3 / (2 * e**3 + 1), 6), None)]
    ties = made.choose(torch.zeros(1, 3))
    assert list(ties[0].scores.items()) == [("a", 0.333333), ("b", 0.333333), ("c", 0.333333)]


def test_answers_in_words_become_rows_of_label_symbols(lm):
    made = answerer(lm, LEGAL["a branching tree"], TRIPLE)
    assert made.table_of([("a", "b", "c"), ("e", "e", "d")]).tolist() == [[0, 1, 2], [4, 4, 3]]


def test_metrics_have_intervals_of_the_utterances(lm):
    split = labelled([(0, 1, 2)] * 8)
    found = SplitAnswers([("a", "b", "c")] * 6 + [("a", "b", "d")] * 2, None)
    tally = found.tallies(TRIPLE, split)["accuracy"]
    assert found.metrics(TRIPLE, split) == {"accuracy": 0.75}
    assert found.intervals(TRIPLE, split) == {"accuracy": tally.interval()}
    assert tally.interval()[0] < 0.75 < tally.interval()[1]


def test_what_a_prompt_expects_at_its_answers_symbols_is_that_of_the_score_room(lm):
    legal, one = LEGAL["a branching tree"], candidate(lm, depth=2)
    split, answers = labelled(legal[:3]), np.array(legal[:3], dtype=np.int32)
    weights = fold_weights(lm, CPU, torch.float32)
    found = answerer(lm, legal, TRIPLE).symbol_log_probs(split, answers, one)
    torch.testing.assert_close(found, symbol_log_probs(weights, split, answers, one))
    assert found.shape == (3, 4, len(LETTERS) + 1)


def test_written_answers_are_measured_as_words_and_by_the_nll_a_symbol(lm):
    task = get_task("asr", answer_format="characters", decoding="free", max_answer=6)
    answers = np.array([[0, 1, -1, -1], [2, -1, -1, -1], [3, 4, 3, 4]], dtype=np.int32)
    wanted, one = [("ab",), ("c",), ("dede",)], candidate(lm, depth=2)
    split = split_of([labelled(wanted_).source(0).tolist() for wanted_ in [[(0,)]] * 3], wanted, "test")
    made = answerer(lm, [(0, 1), (2,)], task)
    written = [answered.words for answered in made.write(split, [one], [1.0])]
    (found,) = made.metrics(split, answers, [one])
    assert found.pop("loss") == pytest.approx(
        float(answer_nll(fold_weights(lm, CPU, torch.float32), split, answers, [one]).sum()) / (7 + 3), rel=1e-5
    )
    assert found == {name: tally.value for name, tally in measure(task.metrics, written, wanted).items()}


@pytest.mark.parametrize(("asked", "longest"), [(0, 3), (2, 2), (9, 9)])
def test_an_answer_is_as_long_as_trainings_longest_or_as_told(lm, asked, longest):
    task = get_task("asr", answer_format="characters", decoding="free", max_answer=asked)
    assert answerer(lm, [(0,), (0, 1, 2)], task).longest == longest


def test_only_legal_answers_that_fit_are_written(lm):
    task = get_task("asr", answer_format="characters", decoding="legal", max_answer=2)
    found = answerer(lm, [(0, 1), (2,), (0, 1, 2)], task).write(labelled([()] * 5), [candidate(lm, depth=2)], [1.0])
    assert {answered.words for answered in found} <= {("ab",), ("c",)}


def test_a_bound_below_all_legal_answers_is_refused(lm):
    task = get_task("asr", answer_format="characters", decoding="legal", max_answer=1)
    with pytest.raises(ConfigError, match=r"^max_answer: expected at least 2 symbols, got 1$"):
        answerer(lm, [(0, 1), (0, 1, 2)], task)


def test_a_bound_that_an_answer_just_meets_lets_it_be_written(lm):
    task = get_task("asr", answer_format="characters", decoding="legal", max_answer=2)
    found = answerer(lm, [(0, 1), (0, 1, 2)], task).write(labelled([()]), [candidate(lm, depth=2)], [1.0])
    assert [answered.words for answered in found] == [("ab",)]


@pytest.mark.parametrize(("tokens", "size"), [(None, 700), (90, 90)])
def test_scores_are_made_in_passes_as_large_as_told_with_the_source_states_that_are_kept(
    lm, monkeypatch, tokens, size
):
    asked, legal = [], LEGAL["a branching tree"]
    weights, cache, usual = fold_weights(lm, CPU, torch.float32), object(), MicrobatchSize(700)
    monkeypatch.setattr(evaluator, "score_answers", lambda *given: asked.append(given))
    made = AnswerModel(weights, space_of(legal), TRIPLE, usual, cache)
    split, one = labelled([()]), candidate(lm, depth=2)
    made.scores(split, [one], tokens)
    ((folded, *rest, used, kept),) = asked
    assert folded is weights
    assert (rest[0], rest[2], used.tokens, kept) == (split, [one], size, cache)


def test_the_same_task_on_a_tuned_lm_has_its_weights_in_the_same_form_and_passes_as_large(lm, monkeypatch):
    weights, usual = fold_weights(lm, CPU, torch.float32), MicrobatchSize(700)
    made = AnswerModel(weights, space_of(LEGAL["a branching tree"]), TRIPLE, usual)
    asked = []
    monkeypatch.setattr(evaluator, "fold_weights", lambda *given: asked.append(given) or weights)
    other = made.on(lm)
    assert asked == [(lm, weights.device, weights.dtype, weights.backend)]
    assert other._size is usual


def test_metrics_are_also_of_sentences_heard_before_and_of_new_ones():
    """The answer a b c was heard in training: both of its utterances are right, of the two others one."""
    split = labelled([(0, 1, 2)] * 2 + [(3, 3, 3)] * 2)
    words = [("a", "b", "c")] * 2 + [("d", "d", "d"), ("a", "a", "a")]
    found = SplitAnswers(words, 0.5).metrics(TRIPLE, split, frozenset({("a", "b", "c")}))
    assert found == {"accuracy": 0.75, "accuracy_heard": 1.0, "accuracy_new": 0.5, "loss": 0.5}
    intervals = SplitAnswers(words, 0.5).intervals(TRIPLE, split, frozenset({("a", "b", "c")}))
    assert list(intervals) == ["accuracy", "accuracy_heard", "accuracy_new"]


@pytest.mark.parametrize(("tokens", "size"), [(None, None), (90, 90)])
def test_answers_are_written_in_passes_as_large_as_told_with_all_who_know_some(lm, monkeypatch, tokens, size):
    asked, weights, cache = [], fold_weights(lm, CPU, torch.float32), object()
    monkeypatch.setattr(evaluator, "generate_answers", lambda *given, **more: asked.append((given, more)) or [])
    task = get_task("asr", answer_format="characters", decoding="legal", max_answer=2)
    made = AnswerModel(weights, space_of([(0, 1)]), task, MicrobatchSize(700), cache)
    split, known = labelled([()]), [object()]
    assert made.write(split, ["prompt"], [1.0], tokens, known) == []
    (((folded, *given), more),) = asked
    assert folded is weights
    assert given == [split, ["prompt"], [1.0]]
    assert (more["longest"], more["recalled"], more["source_cache"]) == (2, known, cache)
    assert more["trie"] is made._trie
    assert more["size"].tokens == (made._writing.tokens if size is None else size)


def test_what_is_written_is_told_with_its_probability_and_measured_as_one_prompt_alone(lm, monkeypatch):
    task = get_task("asr", answer_format="words", decoding="free", max_answer=2)
    weights, cache, asked = fold_weights(lm, CPU, torch.float32), object(), []
    made = AnswerModel(weights, space_of([(0, 1)]), task, usual := MicrobatchSize(700), cache)
    write = evaluator.generate_answers
    monkeypatch.setattr(evaluator, "generate_answers", lambda *a, **b: write(*a, **b | {"source_cache": None}))
    monkeypatch.setattr(evaluator, "answer_nll", lambda *given: asked.append(given) or torch.tensor([[3.0, 6.0]]))
    split, answers, one = labelled([(0, 1), (2,)]), np.array([[0, 1], [2, -1]]), candidate(lm, depth=2)
    (found,) = made.evaluated(split, answers, [one])
    written = made.write(split, [one], [1.0])
    assert found.words == [answered.words for answered in written]
    assert found.shares == [(next(iter(answered.scores.values())), None) for answered in written]
    assert [next(iter(answered.scores)) for answered in written] == [" ".join(words) for words in found.words]
    assert found.loss == pytest.approx(9 / 5), "three symbols, and the end of both"
    ((folded, *given),) = asked
    assert folded is weights
    assert given[0] is split
    assert given[-2:] == [usual, cache]
