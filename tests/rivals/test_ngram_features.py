"""TF-IDF of unit n-grams against scikit-learn's own on the same units as text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from sp_search.rivals.ngram_features import NgramFeatures
from tests.tiny import split_of, tiny_split


def texts(split):
    return [" ".join(map(str, split.source(i))) for i in range(len(split))]


def in_scikit_learns_order(features, weights, vectorizer):
    """Our columns as the vectorizer of texts has them."""
    named = [" ".join(str(unit) for unit in row if unit >= 0) for row in features.ngrams]
    assert sorted(named) == list(vectorizer.get_feature_names_out())
    return weights.toarray()[:, np.argsort(named)]


@pytest.mark.parametrize("sublinear", [True, False])
@pytest.mark.parametrize(("longest", "min_df"), [(1, 1), (2, 2), (3, 1), (4, 3)])
def test_the_weights_are_those_of_scikit_learn_on_units_as_text(longest, min_df, sublinear):
    train, test = tiny_split("train", 60, seed=0), tiny_split("test", 30, seed=1)
    theirs = TfidfVectorizer(
        ngram_range=(1, longest), token_pattern=r"\S+", sublinear_tf=sublinear, min_df=min_df, dtype=np.float64
    )
    wanted = theirs.fit_transform(texts(train)).toarray()
    features, weights = NgramFeatures.fit(train, ngrams=longest, sublinear_tf=sublinear, min_df=min_df)
    np.testing.assert_allclose(in_scikit_learns_order(features, weights, theirs), wanted, atol=1e-6)
    asked = in_scikit_learns_order(features, features.weights(test), theirs)
    np.testing.assert_allclose(asked, theirs.transform(texts(test)).toarray(), atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(4, 8), min_size=1, max_size=8), min_size=1, max_size=8), st.integers(1, 3))
def test_features_from_their_tensors_weigh_alike_to_the_bit(sources, longest):
    train = split_of(sources, [("a",)] * len(sources))
    features, weights = NgramFeatures.fit(train, ngrams=longest, sublinear_tf=True, min_df=1)
    again = NgramFeatures.from_tensors(features.tensors(), sublinear_tf=True)
    assert (again.weights(train) != weights).nnz == 0
    assert again.weights(train).dtype == np.float32


def test_an_ngram_ends_with_its_utterance():
    train = split_of([[5, 6], [7]], [("a",), ("a",)])
    features, _ = NgramFeatures.fit(train, ngrams=2, sublinear_tf=True, min_df=1)
    assert features.ngrams.tolist() == [[5, -1], [5, 6], [6, -1], [7, -1]]


def test_where_every_ngram_is_rarer_than_asked_all_are_kept():
    train = split_of([[5, 5], [6]], [("a",), ("b",)])
    features, _ = NgramFeatures.fit(train, ngrams=1, sublinear_tf=True, min_df=2)
    assert features.ngrams.tolist() == [[5], [6]]
    both = split_of([[5, 5], [5, 6]], [("a",), ("b",)])
    features, _ = NgramFeatures.fit(both, ngrams=1, sublinear_tf=True, min_df=2)
    assert features.ngrams.tolist() == [[5]]
