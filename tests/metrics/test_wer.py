import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp_search.errors import DataError
from sp_search.metrics.wer import cer, wer


def distance(got, wanted):
    """Levenshtein's table, cell by cell."""
    rows = [list(range(len(wanted) + 1))]
    for i, g in enumerate(got, start=1):
        rows.append([i])
        for j, w in enumerate(wanted, start=1):
            rows[i].append(min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (g != w)))
    return rows[-1][-1]


@pytest.mark.parametrize(
    ("predicted", "wanted", "errors", "words"),
    [
        ("turn on the lamp", "turn on the lamp", 0, 4),
        ("turn of the lamp", "turn on the lamp", 1, 4),
        ("turn the lamp", "turn on the lamp", 1, 4),
        ("turn on on the lamp", "turn on the lamp", 1, 4),
        ("", "turn on", 2, 2),
        ("turn on", "", 2, 0),
        ("", "", 0, 0),
        (" turn  on ", "turn on", 0, 2),
        ("Turn on", "turn on", 1, 2),
    ],
)
def test_word_errors_are_counted_utterance_by_utterance(predicted, wanted, errors, words):
    measured = wer([predicted, "b"], [wanted, "a b c d"])
    np.testing.assert_array_equal(measured.found, [errors, 3])
    np.testing.assert_array_equal(measured.total, [words, 4])
    assert measured.value == (errors + 3) / (words + 4)


def test_a_blank_is_a_character_but_not_at_the_ends():
    measured = cer(["ab", "a b "], ["a b", " a b"])
    np.testing.assert_array_equal(measured.found, [1, 0])
    np.testing.assert_array_equal(measured.total, [3, 3])


texts = st.lists(st.tuples(*[st.lists(st.sampled_from("abc"), max_size=7).map(" ".join)] * 2), min_size=1, max_size=4)


@given(texts)
def test_the_errors_are_levenshteins(rows):
    predicted, wanted = zip(*[("a", "b"), *rows], strict=True)
    pairs = list(zip(predicted, wanted, strict=True))
    np.testing.assert_array_equal(wer(predicted, wanted).found, [distance(p.split(), w.split()) for p, w in pairs])
    np.testing.assert_array_equal(cer(predicted, wanted).found, [distance(p, w) for p, w in pairs])


def test_more_errors_than_words_is_a_rate_above_one():
    assert wer(["a b c"], ["d"]).value == 3.0


@pytest.mark.parametrize("rate", [wer, cer])
def test_nothing_wanted_is_refused(rate):
    with pytest.raises(DataError, match="expected something to measure in 1 utterances"):
        rate(["a"], [""])


@pytest.mark.parametrize("rate", [wer, cer])
def test_texts_that_do_not_pair_up_are_refused(rate):
    with pytest.raises(ValueError, match="2 reference and 1 hypothesis"):
        rate(["a"], ["a", "b"])
