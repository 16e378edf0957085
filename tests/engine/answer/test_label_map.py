"""What is fed behind `<s>` and what is expected there, and which nodes of a tree see each other, all by hand."""

from dataclasses import replace

import numpy as np
import torch

from sp_search.engine.answer.answer_tree import answer_tree, tree_answers
from sp_search.engine.answer.label_map import UNSCORED, LabelMap, sequence_answers
from sp_search.types import EOS, PAD, SEPARATOR
from tests.tiny import CPU, tiny_lm

UNITS = (9, 4, 17, 12)
ONE_AND_THREE = torch.tensor([[2, -1, -1], [0, 1, 3]])
LEGAL = ((2,), (0, 1, 3), (0, 2))
"""Its nodes: 0 is `<s>`, 1: 2, 2: 0, 3: 0 1, 4: 0 1 3, 5: 0 2. Whole answers have one, because lengths differ."""


def test_the_targets_of_answers_of_one_and_three_symbols():
    mapped = LabelMap.of(UNITS, linear=False, device=CPU)
    assert mapped.targets(ONE_AND_THREE).tolist() == [
        [SEPARATOR, 17, EOS, UNSCORED, UNSCORED],
        [SEPARATOR, 9, 4, 12, EOS],
    ]
    assert mapped.fed(ONE_AND_THREE).tolist() == [[17, PAD, PAD], [9, 4, 12]]


def test_a_linear_verbalizer_expects_columns_of_its_head_and_feeds_units():
    mapped = LabelMap.of(UNITS, linear=True, device=CPU)
    assert mapped.targets(ONE_AND_THREE).tolist() == [
        [SEPARATOR, 6, EOS, UNSCORED, UNSCORED],
        [SEPARATOR, 4, 5, 7, EOS],
    ]
    assert mapped.fed(ONE_AND_THREE).tolist() == [[17, PAD, PAD], [9, 4, 12]]


def test_an_lm_without_some_specials_has_its_columns_further_left():
    """As a SlamKit LM: no token for `<s>` (0) nor for id 3. An answer is announced by its end's column."""
    architecture = replace(tiny_lm().architecture, absent=(SEPARATOR, 3))
    mapped = LabelMap.of(UNITS, linear=False, device=CPU, architecture=architecture)
    assert mapped.targets(ONE_AND_THREE).tolist() == [
        [EOS - 1, 15, EOS - 1, UNSCORED, UNSCORED],
        [EOS - 1, 7, 2, 10, EOS - 1],
    ]
    assert mapped.fed(ONE_AND_THREE).tolist() == [[17, PAD, PAD], [9, 4, 12]]
    whole = LabelMap.of(UNITS, linear=False, device=CPU, architecture=tiny_lm().architecture)
    assert whole.choices.tolist() == [*UNITS, EOS]


def test_a_row_of_a_sequence_sees_itself_and_all_before_it():
    block = sequence_answers(ONE_AND_THREE[None])
    assert block.predicts_separator
    assert block.depth.tolist() == [0, 1, 2, 3]
    assert block.visible.int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


def test_a_node_of_a_tree_sees_itself_and_the_beginnings_of_its_answer():
    tree = answer_tree(LEGAL, CPU)
    assert tree.symbols == (2, 0, 1, 3, 2)
    assert tree.depth.tolist() == [0, 1, 1, 2, 3, 2]
    assert tree.visible.int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 0, 1, 0, 0, 0],
        [1, 0, 1, 1, 0, 0],
        [1, 0, 1, 1, 1, 0],
        [1, 0, 1, 0, 0, 1],
    ]
    assert tree.scored_symbols.tolist() == [2, 4, 3]  # each with its `</s>`
    tokens = tree_answers(tree, [LabelMap.of(UNITS, linear=False, device=CPU)]).tokens
    assert tokens.tolist() == [[[17, 9, 4, 12, 17]]]


def test_answers_of_one_length_have_no_node_of_their_own_and_no_end():
    tree = answer_tree(((0, 1), (0, 2)), CPU)
    assert tree.symbols == (0,)
    assert np.array_equal(tree.visible, [[True, False], [True, True]])
    assert tree.scored_symbols.tolist() == [2, 2]
