import re
import shutil

import numpy as np
import pytest
import torch
from fairseq.data.indexed_dataset import MMapIndexedDataset, MMapIndexedDatasetBuilder

from sp_search.errors import DataError
from sp_search.types import EOS, SEPARATOR, UNK
from sp_search.units.databin import read_databin, read_sequences
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import UtteranceReader, load_corpus, read_split
from tests.shared import shared
from tests.tiny import tiny_dictionary, write_dictionary

SEQUENCES = [[5, 6, 7, SEPARATOR, 8, EOS], [9, SEPARATOR, 10, 11, EOS], [4, 4, SEPARATOR, 19, EOS]]


def write_databin(folder, sequences, *, split="train", dtype=np.uint16, dictionary=None):
    """A data-bin as fairseq itself writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    builder = MMapIndexedDatasetBuilder(str(folder / f"{split}.bin"), dtype=dtype)
    for ids in sequences:
        builder.add_item(torch.tensor(ids))
    builder.finalize(str(folder / f"{split}.idx"))
    write_dictionary(folder / "dict.txt", dictionary or tiny_dictionary())
    return folder / f"{split}.idx"


def fairseq_sequences(index):
    data = MMapIndexedDataset(str(index.with_suffix("")))
    return [data[i].numpy() for i in range(len(data))]


def assert_same_sequences(index):
    theirs, ours = fairseq_sequences(index), read_sequences(index)
    np.testing.assert_array_equal([len(ids) for ids in ours], [len(ids) for ids in theirs])
    np.testing.assert_array_equal(np.concatenate(ours), np.concatenate(theirs))


@pytest.mark.parametrize(
    "dtype",
    [np.uint8, np.int8, np.int16, np.int32, np.int64, np.float64, np.uint16, np.uint32, np.uint64],
    ids=lambda d: d.__name__,
)
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_sequences_are_those_that_fairseqs_reader_gives(tmp_path, dtype):
    assert_same_sequences(write_databin(tmp_path, SEQUENCES, dtype=dtype))


def test_the_real_data_bin_is_read_as_fairseq_reads_it():
    assert_same_sequences(shared("data", "fluent_commands_hubert100", "data-bin", "valid.idx"))


def test_the_real_data_bin_holds_the_units_of_the_text_form():
    folder = shared("data", "fluent_commands_hubert100")
    dictionary = Dictionary.load(folder / "dict.txt")
    binary = read_split(folder / "data-bin" / "valid.idx", dictionary, "valid")
    texts = [read_split(folder / f"{name}.txt.gz", dictionary, name) for name in ("valid", "test")]
    np.testing.assert_array_equal(binary.tokens, np.concatenate([text.tokens for text in texts]))


def test_a_data_bin_split_is_units_and_answers_by_symbol(tmp_path):
    split = read_split(write_databin(tmp_path, SEQUENCES), tiny_dictionary(), "train")
    assert [split.source(i).tolist() for i in range(3)] == [[5, 6, 7], [9], [4, 4]]
    assert split.answers == (("4",), ("6", "7"), ("15",))


def test_ids_of_a_data_bin_go_through_its_own_dictionary(tmp_path):
    index = write_databin(tmp_path, [[4, 5, SEPARATOR, 6, EOS]], dictionary=Dictionary(["61", "3", "17"]))
    split = read_split(index, Dictionary(["3", "17", "61"]), "train")
    assert split.source(0).tolist() == [6, 4]
    assert split.answers == (("17",),)


def test_a_corpus_may_lie_in_the_data_bin_of_its_folder(tmp_path):
    for split in ("train", "valid", "test"):
        write_databin(tmp_path / "data-bin", SEQUENCES, split=split)
    assert len(load_corpus(tmp_path, tiny_dictionary(), "tiny").splits["test"]) == 3


def test_utterances_of_a_data_bin_are_what_stands_before_the_separator_or_the_end(tmp_path):
    index = write_databin(tmp_path, [*SEQUENCES, [5, 6, EOS], [7, 8]])
    wanted = [("1", "2", "3"), ("5",), ("0", "0"), ("1", "2"), ("3", "4")]
    assert list(UtteranceReader(index, lambda unit: True)) == wanted


@pytest.mark.parametrize("bad", [[EOS], [SEPARATOR, 5, EOS], [5, UNK, EOS], [5, 20, EOS], []])
def test_a_sequence_without_units_or_with_others_is_no_utterance(tmp_path, bad):
    index = write_databin(tmp_path, [[5, EOS], bad])
    wanted = f"{index} sequence 2: expected units before `<s>` or `</s>`, got ids {bad}..."
    with pytest.raises(DataError, match=re.escape(wanted)):
        list(UtteranceReader(index, lambda unit: True))


def test_an_utterance_of_a_data_bin_with_a_unit_that_may_not_be_is_named(tmp_path):
    index = write_databin(tmp_path, SEQUENCES)
    with pytest.raises(DataError, match=r"train\.idx sequence 2: expected units of the dictionary, got '5'"):
        list(UtteranceReader(index, {"1", "2", "3"}.__contains__))


BAD_SEQUENCES = {
    "no separator": [5, 6, EOS],
    "two separators": [5, SEPARATOR, 6, SEPARATOR, 7, EOS],
    "no source": [SEPARATOR, 6, EOS],
    "an unknown unit": [5, UNK, SEPARATOR, 6, EOS],
    "an id behind the dictionary": [5, 20, SEPARATOR, 6, EOS],
    "an end in the middle": [5, EOS, 6, SEPARATOR, 7, EOS],
    "no answer": [5, 6, SEPARATOR, EOS],
    "nothing": [],
}


@pytest.mark.parametrize("bad", BAD_SEQUENCES.values(), ids=BAD_SEQUENCES)
def test_a_bad_sequence_is_refused_with_its_number_and_ids(tmp_path, bad):
    index = write_databin(tmp_path, [*SEQUENCES, bad])
    wanted = f"{index}: 1 bad sequences: sequence 4: expected units, one `<s>`, units, got ids {bad}"
    with pytest.raises(DataError, match=re.escape(wanted)):
        read_databin(index)


def test_all_bad_sequences_are_counted_and_the_first_ten_named(tmp_path):
    index = write_databin(tmp_path, [[5, 6, EOS]] * 12)
    with pytest.raises(DataError, match=r"12 bad sequences: sequence 1: .*; sequence 10: ") as caught:
        read_databin(index)
    assert "sequence 11" not in str(caught.value)


def test_a_unit_that_the_lms_dictionary_lacks_is_refused(tmp_path):
    index = write_databin(tmp_path, SEQUENCES)
    with pytest.raises(
        DataError,
        match=r"train\.idx sequence 2: expected units of the LM's dictionary \(5 units, 0 to 4\), got '5'; was it ma",
    ):
        read_split(index, tiny_dictionary(units=5), "train")


@pytest.mark.parametrize("kept", [10, 26, 40])
def test_a_cut_off_index_is_refused(tmp_path, kept):
    index = write_databin(tmp_path, SEQUENCES)
    index.write_bytes(index.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"train\.idx: expected (a fairseq index|sizes and offsets of 3 sequences)"):
        read_sequences(index)


def test_cut_off_data_are_refused_with_what_is_there(tmp_path):
    index = write_databin(tmp_path, SEQUENCES)
    data = index.with_suffix(".bin")
    data.write_bytes(data.read_bytes()[:-4])
    with pytest.raises(DataError, match=r"train\.bin: expected 16 elements, got 14; the file is cut off"):
        read_sequences(index)


def test_an_index_without_its_data_is_refused(tmp_path):
    index = write_databin(tmp_path, SEQUENCES)
    index.with_suffix(".bin").unlink()
    with pytest.raises(DataError, match=r"expected sizes and offsets of 3 sequences, and train\.bin next to it"):
        read_sequences(index)


def test_another_kind_of_file_is_no_index(tmp_path):
    (tmp_path / "train.idx").write_bytes(b"TNTIDX\x00\x00" + bytes(64))
    with pytest.raises(DataError, match=r"expected a fairseq index \(MMIDIDX\), got another kind of file"):
        read_sequences(tmp_path / "train.idx")


def test_an_index_of_another_version_is_refused(tmp_path):
    index = write_databin(tmp_path, SEQUENCES)
    raw = bytearray(index.read_bytes())
    raw[9] = 2
    index.write_bytes(bytes(raw))
    with pytest.raises(DataError, match="expected version 1 and a known element type, got version 2, type 8"):
        read_sequences(index)


def test_a_data_bin_without_its_dictionary_is_refused(tmp_path):
    index = write_databin(tmp_path, SEQUENCES)
    (tmp_path / "dict.txt").unlink()
    with pytest.raises(DataError, match=r"dict\.txt: expected a fairseq dictionary"):
        read_databin(index)


def test_no_split_is_taken_for_the_data_of_another(tmp_path):
    index = write_databin(tmp_path, SEQUENCES)
    shutil.copy(index, tmp_path / "valid.idx")
    with pytest.raises(DataError, match=r"valid\.bin next to it"):
        read_sequences(tmp_path / "valid.idx")


def test_a_data_bin_without_a_sequence_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"train\.idx: expected at least one sequence, got none"):
        read_databin(write_databin(tmp_path, []))
