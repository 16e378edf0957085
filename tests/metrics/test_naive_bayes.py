import math
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from sp_search.metrics.accuracy import hits
from sp_search.metrics.naive_bayes import NaiveBayes, unit_ids
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import load_corpus
from tests.shared import shared
from tests.tiny import split_of, tiny_split


def ngrams(source):
    return [*((unit,) for unit in source), *pairwise(source)]


def bayes_answers(train, test):
    return NaiveBayes(train, unit_ids(train, test)).answers(test)


def by_hand(train, test, columns):
    """Naive Bayes written out: log prior and add-one smoothed n-gram shares of each class."""
    counts, priors = defaultdict(Counter), Counter(train.answers)
    for i, answer in enumerate(train.answers):
        counts[answer].update(ngrams(train.source(i).tolist()))
    found = []
    for i in range(len(test)):
        scores = {
            answer: math.log(priors[answer] / len(train))
            + sum(math.log((of[g] + 1) / (of.total() + columns)) for g in ngrams(test.source(i).tolist()))
            for answer, of in counts.items()
        }
        found.append(scores)
    return found


utterances = st.lists(
    st.tuples(st.lists(st.integers(4, 8), min_size=1, max_size=8), st.sampled_from([("a",), ("b",), ("c",)])),
    min_size=1,
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(utterances, utterances)
def test_every_answer_is_a_best_one_of_the_model_written_out(train, test):
    train, test = (split_of(*zip(*rows, strict=True)) for rows in (train, test))
    ids = 1 + max(train.tokens.max(), test.tokens.max())
    for got, scores in zip(bayes_answers(train, test), by_hand(train, test, ids + ids**2), strict=True):
        assert scores[got] == pytest.approx(max(scores.values()), abs=1e-9)


def test_scikit_learns_own_counting_of_words_and_pairs_gives_the_same_answers():
    """Over all units and all pairs, seen or not: those never seen count in the smoothing."""
    train, test = tiny_split("train", 60, seed=0), tiny_split("test", 30, seed=1)
    ids = range(1 + max(train.tokens.max(), test.tokens.max()))
    vocabulary = [*(f"{i}" for i in ids), *(f"{i} {j}" for i in ids for j in ids)]
    words = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\d+", vocabulary=vocabulary)
    texts = [[" ".join(map(str, split.source(i))) for i in range(len(split))] for split in (train, test)]
    theirs = make_pipeline(words, MultinomialNB()).fit(texts[0], [" ".join(answer) for answer in train.answers])
    assert [" ".join(answer) for answer in bayes_answers(train, test)] == theirs.predict(texts[1]).tolist()


def test_its_parameters_are_a_log_probability_for_each_class_and_each_ngram_in_it():
    train = split_of([[5, 5], [6, 6], [4]], [("a",), ("b",), ("b",)])
    model = NaiveBayes(train, ids=7)
    assert model.parameters == 2 * (7 + 7 * 7) + 2
    assert model.stored_bytes == 8 * model.parameters


def test_the_real_corpus_has_its_known_baseline():
    """82 % on the intent test split."""
    folder = shared("data", "fluent_commands_hubert100")
    corpus = load_corpus(folder, Dictionary.load(folder / "dict.txt"), "fluent")
    train, test = corpus.splits["train"], corpus.splits["test"]
    assert hits(bayes_answers(train, test), test.answers).value == pytest.approx(0.82, abs=0.01)
