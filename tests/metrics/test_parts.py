"""Sentences that training has, and those that it lacks, measured apart."""

import numpy as np
import pytest

from sp_search.metrics.measures import measure
from sp_search.metrics.parts import ENOUGH, deciding, draw, known_answers, part_sizes, said, with_parts
from sp_search.tasks.registry import get_task
from tests.tiny import split_of

ASR = get_task("asr", answer_format="characters", decoding="free")
OLD, NEWER = ("old", "song"), ("new", "song")


def splits(**answers):
    """Splits of one unit an utterance, with these answers."""
    return {name: split_of([[4]] * len(of_split), of_split, name) for name, of_split in answers.items()}


def parted(valid_new, test_new):
    return splits(train=[OLD] * 3, valid=[OLD] * 7 + [NEWER] * valid_new, test=[OLD] * 5 + [NEWER] * test_new)


def test_training_parts_the_answers_that_are_written_where_it_has_some_and_lacks_some():
    assert known_answers(ASR, parted(1, 0)) == {OLD}
    assert known_answers(ASR, splits(train=[OLD], valid=[NEWER], test=[OLD])) == {OLD}


@pytest.mark.parametrize(
    ("task", "answers"),
    [
        (ASR, [OLD]),  # all of them heard before
        (ASR, [NEWER, ("other",)]),  # all of them new
        (get_task("asr", decoding="best"), [OLD, NEWER]),  # chosen among training's
        (get_task("intent"), [OLD, NEWER]),
    ],
)
def test_a_corpus_of_one_part_or_of_chosen_answers_is_not_parted(task, answers):
    whole = splits(train=[OLD, ("some",)], valid=answers, test=answers)
    known = known_answers(task, whole)
    tallies = measure(ASR.metrics, answers, answers)
    assert known == frozenset()
    assert (part_sizes(answers, known), said(whole, known, "accuracy")) == ({}, "")
    assert with_parts(tallies, answers, known) == tallies
    assert deciding(task, whole, known) == task.decides


def test_a_metric_of_a_part_is_that_of_its_utterances_alone():
    wanted = [OLD, NEWER, OLD, ("the", "newest", "song"), ("newer",)]
    found = [("old", "sung"), NEWER, OLD, ("the", "new", "song"), ("nothing", "like", "it")]
    at = {"heard": [0, 2], "new": [1, 3, 4]}
    tallies = with_parts(measure(ASR.metrics, found, wanted), wanted, frozenset([OLD]))
    assert list(tallies) == [f"{name}{part}" for part in ("", "_heard", "_new") for name in ASR.metrics]
    assert part_sizes(wanted, frozenset([OLD])) == {"heard": 2, "new": 3}
    for part, chosen in at.items():
        alone = measure(ASR.metrics, [found[i] for i in chosen], [wanted[i] for i in chosen])
        for name in ASR.metrics:
            of_part = tallies[f"{name}_{part}"]
            assert of_part.value == alone[name].value
            assert of_part.interval() == alone[name].interval()


def test_a_part_with_nothing_to_measure_has_no_such_metric():
    wanted = [("B-city", "rome", "E-city"), ("hello",)]
    slots = get_task("slots", decoding="free").metrics
    tallies = with_parts(measure(slots, wanted, wanted), wanted, frozenset([wanted[1]]))
    assert set(tallies) == {*slots, "slot_type_f1_heard", *(f"{name}_new" for name in slots)}


@pytest.mark.parametrize(
    ("valid_new", "test_new", "decides"),
    [
        (ENOUGH, 1, "char_accuracy_new"),
        (ENOUGH - 1, 100, "char_accuracy"),
        (ENOUGH, 0, "char_accuracy"),  # a winner by new sentences could not be measured on test
    ],
)
def test_new_sentences_decide_where_valid_has_enough_and_test_has_some(valid_new, test_new, decides):
    corpus = parted(valid_new, test_new)
    known = known_answers(ASR, corpus)
    assert deciding(ASR, corpus, known) == decides
    assert said(corpus, known, decides) == (
        f"sentences: valid has 7 that training has and {valid_new} new ones, test has 5 that training has and "
        f"{test_new} new ones; {decides} decides"
    )


@pytest.mark.parametrize(
    ("heard", "new", "count", "drawn"),
    [
        (800, 400, 600, 200),  # in proportion
        (5000, 100, 512, 50),  # enough to decide by
        (5000, 20, 512, 20),  # all there are
        (800, 400, 60, 30),  # half of a sample too small for that
        (3, 997, 500, 498),
    ],
)
def test_a_sample_has_both_parts_in_proportion_and_enough_new_sentences(heard, new, count, drawn):
    answers = [answer for i in range(max(heard, new)) for answer in [OLD] * (i < heard) + [NEWER] * (i < new)]
    chosen = draw(answers, frozenset([OLD]), count, seed=1)
    assert len(set(chosen.tolist())) == count == len(chosen)
    assert (np.diff(chosen) > 0).all()
    assert sum(answers[i] == NEWER for i in chosen) == drawn
    assert chosen.tolist() == draw(answers, frozenset([OLD]), count, seed=1).tolist()
    assert chosen.tolist() != draw(answers, frozenset([OLD]), count, seed=2).tolist()


def test_the_sample_of_a_corpus_that_is_not_parted_is_a_plain_draw():
    wanted = np.sort(np.random.default_rng(5).permutation(40)[:12])
    np.testing.assert_array_equal(draw([OLD] * 40, frozenset(), 12, seed=5), wanted)
