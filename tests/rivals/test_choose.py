"""Settings are chosen on valid alone, of a large corpus a part is drawn, and the strongest rival comes first."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from sp_search.metrics.accuracy import hits
from sp_search.metrics.measures import measure
from sp_search.rivals import choose
from sp_search.rivals.choose import Yardstick, chosen_settings, drawn, fit_rivals
from sp_search.rivals.rival import CountedCorpus
from sp_search.rivals.settings import RivalSettings
from sp_search.tasks.registry import TASKS, get_task
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import load_corpus
from tests.shared import shared
from tests.tiny import ANSWERS, TEXTS, split_of, tiny_split

TRAIN, VALID = tiny_split("train", 80, 0), tiny_split("valid", 40, 1)


def with_texts(split):
    return replace(split, answers=tuple(TEXTS[ANSWERS.index(answer)] for answer in split.answers))


def yardstick(name):
    task = get_task(name, decoding="free") if name == "asr" else get_task(name)
    return Yardstick(task, frozenset(), task.decides)


def strength_on_valid(task, settings, train, valid):
    return yardstick(task).strength(*CountedCorpus.of(settings.counted, train, valid).fit(settings), valid)


def test_the_walk_ends_where_no_other_value_of_one_setting_is_better():
    """Written out for the two settings that come last: those before them stay as they were chosen."""
    found = chosen_settings(yardstick("intent"), "ngram", TRAIN, VALID)
    start = replace(found, sublinear_tf=True, min_df=2)
    best = max(
        (replace(start, sublinear_tf=sublinear) for sublinear in (True, False)),
        key=lambda settings: strength_on_valid("intent", settings, TRAIN, VALID),
    )
    best = max(
        (replace(best, min_df=min_df) for min_df in (2, 1)),
        key=lambda settings: strength_on_valid("intent", settings, TRAIN, VALID),
    )
    assert found == best


def test_retrieval_of_written_answers_is_chosen_by_the_tasks_metric():
    train, valid = with_texts(TRAIN), with_texts(VALID)
    found = chosen_settings(yardstick("asr"), "retrieval", train, valid)
    of_grid = [
        RivalSettings(method="retrieval", ngrams=n, sublinear_tf=sublinear, min_df=min_df)
        for n, sublinear, min_df in product((1, 2, 3), (True, False), (1, 2))
    ]
    reached = {settings: strength_on_valid("asr", settings, train, valid) for settings in of_grid}
    rival, log_probs = CountedCorpus.of(found.counted, train, valid).fit(found)
    told = measure(["char_accuracy"], rival.named(log_probs), valid.answers)["char_accuracy"].value
    assert reached[found] == told >= sorted(reached.values())[len(reached) // 2]


def test_both_kinds_are_fitted_and_the_stronger_on_valid_comes_first():
    found = fit_rivals(TASKS["intent"], {"train": TRAIN, "valid": VALID, "test": VALID})
    assert {rival.settings.method for rival in found} == {"ngram", "retrieval"}
    losses = [-strength_on_valid("intent", rival.settings, TRAIN, VALID) for rival in found]
    assert losses == sorted(losses)


def test_written_answers_that_never_repeat_are_retrieved_alone():
    train, valid = with_texts(TRAIN), with_texts(VALID)
    assert len(fit_rivals(TASKS["asr"], {"train": train, "valid": valid, "test": valid})) == 2
    alone = replace(train, answers=tuple((*answer, str(i)) for i, answer in enumerate(train.answers)))
    assert [
        rival.settings.method for rival in fit_rivals(TASKS["asr"], {"train": alone, "valid": valid, "test": valid})
    ] == ["retrieval"]


def test_a_part_of_a_split_has_every_answer_and_keeps_the_order():
    answers = [ANSWERS[min(i // 30, 4)] for i in range(130)]
    split = split_of([[5 + i % 7] for i in range(130)], answers)
    part = drawn(split, 20)
    numbers = [int(number) for number in part.ids]
    assert len(part) == 20
    assert numbers == sorted(numbers)
    assert list(dict.fromkeys(part.answers)) == list(ANSWERS)
    assert drawn(split, 20).ids == part.ids
    assert drawn(split, 130) is split


def test_a_very_large_corpus_is_fitted_in_part_and_still_knows_every_answer(monkeypatch):
    train = tiny_split("train", 300, 0)
    grams = len(train.tokens) / 300 * 3 * len(ANSWERS)
    monkeypatch.setattr(choose, "CHOOSING_WORK", 50 * grams)
    monkeypatch.setattr(choose, "FITTING_WORK", 90 * grams)
    monkeypatch.setattr(choose, "MOST_UTTERANCES", 70)
    sizes = []
    of = CountedCorpus.of
    monkeypatch.setattr(choose.CountedCorpus, "of", lambda *given: (sizes.append(len(given[1])), of(*given))[1])
    found = fit_rivals(TASKS["intent"], {"train": train, "valid": VALID, "test": VALID})
    assert set(sizes) == {50, 90, 70}
    assert [rival.legal for rival in found] == [ANSWERS] * 2


@pytest.mark.slow
@pytest.mark.long
def test_the_real_corpus_has_its_known_rival():
    """0.89 on test: scikit-learn's TF-IDF of 1- to 3-grams with one SVM a class comes to 0.884."""
    folder = shared("data", "fluent_commands_hubert100")
    corpus = load_corpus(folder, Dictionary.load(folder / "dict.txt"), "fluent")
    train, valid, test = (corpus.splits[name] for name in ("train", "valid", "test"))
    settings = RivalSettings(method="ngram", ngrams=3, sublinear_tf=True, min_df=1, C=1.0)
    rival, log_probs = CountedCorpus.of(settings.counted, train, valid).fit(settings)
    assert hits(rival.answers(test), test.answers).value == pytest.approx(0.89, abs=0.01)
    assert hits(rival.named(log_probs), valid.answers).value == pytest.approx(0.88, abs=0.01)
    assert np.isfinite(log_probs).all()
