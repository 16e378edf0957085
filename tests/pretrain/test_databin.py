"""What is written for fairseq is what was read, cut where it is too long."""

import numpy as np
import pytest
from fairseq.data import Dictionary as FairseqDictionary
from fairseq.data.indexed_dataset import MMapIndexedDataset

from sp_search.errors import DataError
from sp_search.pretrain.databin import write_databin
from sp_search.types import EOS
from sp_search.units.dictionary import Dictionary
from tests.pretrain.counting import counting, source_in, write_units


def sequences(folder, split):
    """As fairseq itself reads them."""
    data = MMapIndexedDataset(str(folder / split))
    return [data[i].tolist() for i in range(len(data))]


def written(tmp_path, max_positions=64, seed=0, **changes):
    source = source_in(tmp_path, **changes)
    return write_databin(tmp_path / "bin", source, max_positions=max_positions, seed=seed)


def as_sequences(utterances):
    return [[unit + 4 for unit in units] + [EOS] for units in utterances]


def test_fairseq_reads_every_utterance_with_its_end(tmp_path):
    data = written(tmp_path)
    train, valid = counting(200, seed=0), counting(30, seed=1)
    assert sequences(tmp_path / "bin", "train") == as_sequences(train)
    assert sequences(tmp_path / "bin", "valid") == as_sequences(valid)
    assert (data.units, data.utterances, data.cut) == (6, {"train": 200, "valid": 30}, 0)
    assert data.tokens["train"] == sum(map(len, train)) + 200


def test_the_dictionary_has_unit_u_at_id_u_plus_4_for_us_and_for_fairseq_and_counts_train(tmp_path):
    write_units(tmp_path / "a.txt", [[3, 0, 3], [3]])
    write_units(tmp_path / "b.txt", [[5]])
    assert written(tmp_path, train=tmp_path / "a.txt", valid=tmp_path / "b.txt").units == 6
    assert (tmp_path / "bin" / "dict.txt").read_text() == "0 1\n1 0\n2 0\n3 3\n4 0\n5 0\n"
    ours = Dictionary.load(tmp_path / "bin" / "dict.txt")
    theirs = FairseqDictionary.load(str(tmp_path / "bin" / "dict.txt"))
    assert [ours.find(str(unit)) for unit in range(6)] == [4, 5, 6, 7, 8, 9]
    assert [theirs.index(str(unit)) for unit in range(6)] == [4, 5, 6, 7, 8, 9]


def test_units_of_a_given_dictionary_have_its_ids(tmp_path):
    (tmp_path / "a.txt").write_text("b b a\n")
    dictionary = Dictionary(["a", "c", "b"])
    written(tmp_path, train=tmp_path / "a.txt", valid=tmp_path / "a.txt", dictionary=dictionary)
    assert sequences(tmp_path / "bin", "train") == [[6, 6, 4, EOS]]
    assert (tmp_path / "bin" / "dict.txt").read_text() == "a 1\nc 0\nb 2\n"


def test_a_long_utterance_is_cut_and_no_unit_is_lost(tmp_path):
    write_units(tmp_path / "a.txt", [[0, 1, 2, 3, 4, 5, 0], [1, 2], [1, 2, 3]])
    data = written(tmp_path, max_positions=4, train=tmp_path / "a.txt")
    assert sequences(tmp_path / "bin", "train") == as_sequences([[0, 1, 2], [3, 4, 5], [0], [1, 2], [1, 2, 3]])
    assert (data.cut, data.utterances["train"]) == (31, 3)  # 30 of valid, all of five units or more


def test_a_share_is_drawn_for_valid_the_same_by_the_same_seed(tmp_path):
    data = written(tmp_path, valid=None, valid_share=0.3)
    first = [sequences(tmp_path / "bin", split) for split in ("train", "valid")]
    again = written(tmp_path, valid=None, valid_share=0.3)
    other = written(tmp_path, valid=None, valid_share=0.3, seed=1)
    assert sorted([*first[0], *first[1]]) == sorted(as_sequences(counting(200, seed=0)))
    assert 40 < data.utterances["valid"] < 80
    assert again == data
    assert other.fingerprint != data.fingerprint


def test_the_fingerprint_is_of_the_units(tmp_path):
    data = written(tmp_path)
    moved = write_units(tmp_path / "moved.txt", counting(200, seed=0))
    changed = write_units(tmp_path / "changed.txt", [*counting(199, seed=0), [0]])
    assert written(tmp_path, train=moved).fingerprint == data.fingerprint
    assert written(tmp_path, train=changed).fingerprint != data.fingerprint


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "1 2\n1 x\n",
            r"a\.txt line 2: expected units as numbers from 0 to 9999, got 'x'; is it a label.*; others need d",
        ),
        ("1 -2\n01\n99999\n", r"3 bad lines: .*got '-2'; .*got '01'; .*got '99999'; "),
        ("", r"a\.txt: expected at least one utterance, got an empty file"),
    ],
)
def test_what_is_no_unit_is_refused_with_its_line(tmp_path, text, fault):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(DataError, match=fault):
        written(tmp_path, train=tmp_path / "a.txt")


def test_a_share_that_leaves_nothing_to_measure_on_is_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"train\.txt: expected utterances for both train and valid, got 200 and 0; chan"
    ):
        written(tmp_path, valid=None, valid_share=1e-9)


def test_largest_units_fit(tmp_path):
    write_units(tmp_path / "a.txt", [[9999, 0]])
    assert written(tmp_path, train=tmp_path / "a.txt").units == 10_000
    assert sequences(tmp_path / "bin", "train") == [[10_003, 4, EOS]]
    assert np.fromfile(tmp_path / "bin" / "train.bin", np.uint32).tolist() == [10_003, 4, EOS]
