import numpy as np
import pytest

from sp_search.engine.batch.collate import check_lengths, collate_sources
from sp_search.errors import DataError
from sp_search.types import EOS, PAD
from tests.tiny import CPU

SOURCES = [np.array(ids, dtype=np.int32) for ids in ([5, 6, 7], [8], [9, 10])]


def block(**changes):
    return collate_sources(SOURCES, **{"max_units": 0, "device": CPU, **changes})


def test_sources_end_in_one_column():
    found = block()
    assert found.tokens.tolist() == [[EOS, 5, 6, 7], [PAD, PAD, EOS, 8], [PAD, EOS, 9, 10]]
    assert found.positions.tolist() == [[2, 3, 4, 5], [PAD, PAD, 2, 3], [PAD, 2, 3, 4]]


def test_a_source_is_cut_to_its_first_units():
    found = block(max_units=2)
    assert found.tokens.tolist() == [[EOS, 5, 6], [PAD, EOS, 8], [EOS, 9, 10]]
    assert found.units.tolist() == [2, 1, 2]


@pytest.mark.parametrize(("max_units", "tokens"), [(0, 6 + 3), (2, 5 + 3)])
def test_tokens_in_all_are_the_units_kept_and_a_separator_each(max_units, tokens):
    assert block(max_units=max_units).tokens_in_all == tokens


def test_only_pads_are_padded():
    assert block().is_padded.tolist() == [[False] * 4, [True, True, False, False], [True, False, False, False]]


def test_utterances_that_just_fit_are_taken():
    check_lengths(np.array([5, 3]), answer_units=3, max_positions=10, place="valid")


def test_the_first_utterance_too_long_is_named_and_all_are_counted():
    with pytest.raises(
        DataError,
        match=r"^valid utterance 2: expected at most 5 units for an LM of 10 positions, got 6 "
        r"\(too long: 2\); cut them, or search with space\.max_source_units=\d+ or less$",
    ):
        check_lengths(np.array([5, 6, 3, 9]), answer_units=3, max_positions=10, place="valid")


def test_a_prompt_takes_of_the_positions_of_an_lm_that_counts_it():
    with pytest.raises(
        DataError,
        match=r"at most 3 units for an LM of 10 positions \(its sliding window\), 2 of them the prompt's, got 5 ",
    ):
        check_lengths(np.array([5]), 3, 10, "valid", prompt=2, why=" (its sliding window)")


def test_a_prompt_that_leaves_no_position_is_told_to_be_shorter():
    with pytest.raises(DataError, match=r"in the 20 positions of the LM, 30 of them the prompt's, .*shorter"):
        check_lengths(np.array([3]), 2, 20, "train", prompt=30)
