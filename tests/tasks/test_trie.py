import pytest
from hypothesis import given
from hypothesis import strategies as st

from sp_search.tasks.trie import AnswerTrie

answers = st.lists(st.lists(st.integers(0, 3), max_size=4).map(tuple), min_size=1, unique=True)


def walks(trie, node=0, before=()):
    """Every answer that the trie lets through."""
    if trie.may_end(node):
        yield before
    for symbol in trie.symbols(node):
        yield from walks(trie, trie.follow(node, symbol), (*before, symbol))


@given(answers)
def test_a_trie_lets_its_answers_through_and_no_others(legal):
    assert sorted(walks(AnswerTrie(legal))) == sorted(legal)


def test_what_may_not_follow_is_no_node():
    with pytest.raises(KeyError):
        AnswerTrie([(1, 2)]).follow(0, 2)
