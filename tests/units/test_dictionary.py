import re

import pytest
from fairseq.data import Dictionary as FairseqDictionary

from sp_search.errors import CheckpointError, DataError
from sp_search.types import EOS, PAD, SEPARATOR, UNK
from sp_search.units.dictionary import Dictionary
from tests.shared import shared

ODD_FILES = {
    "numeric": "0 12\n1 7\n2 3\n",
    "by frequency": "61 900\n3 800\n17 2\n",
    "a symbol with a blank": "a b 4\nc 2\n",
    "windows line ends": "5 1\r\n6 1\r\n",
    "no last line end": "5 1\n6 1",
    "an overwrite flag": "5 1 #fairseq:overwrite\n6 1\n",
    "a rare line separator inside a symbol": "a\u2028b 1\nc 1\n",
    "filler": "0 1\n1 1\nmadeupword0000 0\nmadeupword0001 0\n",
}


def written(folder, text):
    path = folder / "dict.txt"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("text", ODD_FILES.values(), ids=ODD_FILES)
def test_a_file_gives_every_symbol_the_id_that_fairseq_gives_it(tmp_path, text):
    path = written(tmp_path, text)
    ours, theirs = Dictionary.load(path), FairseqDictionary.load(str(path))
    assert len(ours) == len(theirs)
    assert {symbol: ours.find(symbol) for symbol in ours.symbols} == {
        symbol: theirs.index(symbol) for symbol in theirs.symbols[theirs.nspecial :]
    }


def test_the_specials_are_fairseqs():
    theirs = FairseqDictionary()
    assert (theirs.bos(), theirs.pad(), theirs.eos(), theirs.unk()) == (SEPARATOR, PAD, EOS, UNK)


def test_a_dictionary_that_fairseq_padded_has_only_its_real_units(tmp_path):
    theirs = FairseqDictionary()
    for unit in range(50):
        theirs.add_symbol(str(unit))
    theirs.pad_to_multiple_(8)
    theirs.save(str(tmp_path / "dict.txt"))
    ours = Dictionary.load(tmp_path / "dict.txt")
    assert len(ours) == len(theirs) == 56
    assert ours.unit_ids == tuple(theirs.index(str(unit)) for unit in range(50))


def test_the_real_dictionary_is_read_as_fairseq_reads_it():
    path = shared("lm", "hubert100_6x256", "dict.txt")
    assert list(Dictionary.load(path).symbols) == FairseqDictionary.load(str(path)).symbols[4:]


def test_ids_and_symbols_are_inverse():
    dictionary = Dictionary(["61", "3", "17"])
    ids = dictionary.encode(["17", "61", "3"])
    assert [dictionary.symbol(int(i)) for i in ids] == ["17", "61", "3"]
    assert ids.tolist() == [6, 4, 5]


def test_a_unit_that_is_not_there_has_no_id():
    assert Dictionary(["0", "1"]).find("2") is None


def test_the_fingerprint_is_that_of_the_symbols_in_order_not_of_their_counts(tmp_path):
    one = Dictionary.load(written(tmp_path, "0 12\n1 7\n"))
    other_counts = Dictionary.load(written(tmp_path, "0 1\n1 1\n"))
    assert one.fingerprint == other_counts.fingerprint
    assert one.fingerprint != Dictionary(["1", "0"]).fingerprint
    assert one.fingerprint != Dictionary(["01"]).fingerprint


@pytest.mark.parametrize("rows", [54, 56])
def test_an_embedding_may_be_as_long_as_its_dictionary_or_padded_to_a_multiple_of_eight(rows):
    Dictionary([str(unit) for unit in range(50)]).check_rows(rows, "lm.pt")


@pytest.mark.parametrize("rows", [53, 55, 57, 64, 104])
def test_an_embedding_of_any_other_length_belongs_to_another_dictionary(rows):
    with pytest.raises(
        CheckpointError,
        match=rf"lm\.pt: expected an embedding of 54 rows \(4 specials and 50 units .*padded to 56\), got {rows}; "
        "is dict.txt that of another LM",
    ):
        Dictionary([str(unit) for unit in range(50)]).check_rows(rows, "lm.pt")


BAD_FILES = {
    "no count": ("0 1\n1\n", " line 2: expected `symbol count`, got '1'"),
    "a count that is no number": ("0 many\n", "line 1: expected `symbol count`, got '0 many'"),
    "a symbol twice": ("0 1\n0 2\n", "line 2: expected a new symbol, got '0' again"),
    "a special": ("<s> 1\n0 2\n", "line 1: expected a new symbol, got '<s>' again"),
    "nothing": ("", "expected at least one unit, got an empty file"),
}


@pytest.mark.parametrize(("text", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_with_the_line(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=re.escape(f"{path}") + ".*" + re.escape(message)):
        Dictionary.load(path)


def test_all_bad_lines_are_counted_and_the_first_ten_named(tmp_path):
    with pytest.raises(DataError, match=r": 12 bad lines: line 1: .*; line 10: ") as caught:
        Dictionary.load(written(tmp_path, "bad\n" * 12))
    assert "line 11" not in str(caught.value)


def test_an_absent_file_is_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"dict\.txt: expected a fairseq dictionary \(dict\.txt\), found no such file"
    ):
        Dictionary.load(tmp_path / "dict.txt")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "dict.txt").write_bytes(b"\x80\x02\xff")
    with pytest.raises(DataError, match=r"dict\.txt: expected text \(UTF-8\), got a pickle"):
        Dictionary.load(tmp_path / "dict.txt")
