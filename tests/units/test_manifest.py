import bz2
import gzip
import json
import lzma
import re

import numpy as np
import pytest
import zstandard

from sp_search.errors import DataError
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import (
    SPLITS,
    UtteranceReader,
    corpus_fingerprint,
    forms_said,
    load_corpus,
    read_split,
    read_units,
    split_file,
)
from tests.shared import shared
from tests.tiny import as_lines, split_of, tiny_corpus, tiny_dictionary

FORMS = ("plain", "named", "json")


def in_form(form, split, dictionary):
    """The lines of a split in one of the three line forms."""
    plain = as_lines(split, dictionary)
    if form == "plain":
        return plain
    pairs = [line.split(" <s> ") for line in plain]
    if form == "named":
        return [f"audio/{i}.wav|{units}|{labels}" for i, (units, labels) in enumerate(pairs)]
    return [json.dumps({"units": units.split(), "labels": labels.split()}) for units, labels in pairs]


def write_corpus(folder, form, *, gzipped=False, ending="txt"):
    folder.mkdir(exist_ok=True)
    for name, split in tiny_corpus().splits.items():
        raw = ("\n".join(in_form(form, split, tiny_dictionary())) + "\n").encode()
        path = folder / f"{name}.{ending}"
        path.write_bytes(gzip.compress(raw, mtime=0) if gzipped else raw)
    return folder


def assert_same_columns(ours, theirs):
    np.testing.assert_array_equal(ours.tokens, theirs.tokens)
    np.testing.assert_array_equal(ours.offsets, theirs.offsets)
    assert ours.answers == theirs.answers


@pytest.mark.parametrize("gzipped", [False, True], ids=["plain file", "gzipped"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_corpus_whatever_its_files_are_called(tmp_path, form, gzipped):
    read = load_corpus(write_corpus(tmp_path, form, gzipped=gzipped, ending="any"), tiny_dictionary(), "tiny")
    for name, split in tiny_corpus().splits.items():
        assert_same_columns(read.splits[name], split)
    assert read.fingerprint == tiny_corpus().fingerprint


def test_units_go_through_the_dictionary_not_by_their_number(tmp_path):
    (tmp_path / "train.txt").write_text("61 3 61 <s> on\n")
    split = read_split(tmp_path / "train.txt", Dictionary(["3", "17", "61"]), "train")
    assert split.source(0).tolist() == [6, 4, 6]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress, zstandard.compress])
def test_line_ends_encodings_and_compressions_do_no_harm(tmp_path, end, encoding, pack):
    text = f"1 2 <s> on{end}{end}3 <s> off{end}{end}"
    (tmp_path / "train.txt").write_bytes(pack(text.encode(encoding)))
    split = read_split(tmp_path / "train.txt", tiny_dictionary(), "train")
    assert (split.answers, split.ids) == ((("on",), ("off",)), ("1", "3"))
    assert split.form == "train.txt: units <s> labels, 2 utterances"


def test_what_each_split_was_taken_for_is_said(tmp_path):
    write_corpus(tmp_path, "json", ending="jsonl")
    assert forms_said(load_corpus(tmp_path, tiny_dictionary(), "tiny"))[0] == (
        "data: train.jsonl: JSON lines, 40 utterances"
    )


def test_a_filler_of_the_dictionary_is_no_unit(tmp_path):
    (tmp_path / "train.txt").write_text("1 madeupword0000 <s> on\n")
    with pytest.raises(
        DataError, match=r"train\.txt line 1: .*got 'madeupword0000'; such a filler only pads the dicti"
    ):
        read_split(tmp_path / "train.txt", tiny_dictionary(filler=4), "train")


def test_a_named_form_and_the_plain_one_agree_on_the_real_corpus():
    folder = shared("data", "fluent_commands_hubert100")
    dictionary = Dictionary.load(folder / "dict.txt")
    named = read_split(folder / "named_sample.txt.gz", dictionary, "valid")
    valid = read_split(folder / "valid.txt.gz", dictionary, "valid")
    for i in range(len(named)):
        np.testing.assert_array_equal(named.source(i), valid.source(i))
        assert named.answers[i] == valid.answers[i]
    assert named.ids[0].endswith(".wav")


def test_the_real_corpus_is_read_whole():
    folder = shared("data", "fluent_commands_hubert100")
    corpus = load_corpus(folder, Dictionary.load(folder / "dict.txt"), "fluent")
    assert {name: len(split) for name, split in corpus.splits.items()} == {
        "train": 23132, "valid": 1964, "test": 1154,
    }  # fmt: skip


def changed_corpus(**changes):
    splits = {"train": split_of([[4, 5], [6]], [["on"], ["off"]])}
    return corpus_fingerprint({**splits, **changes})


def test_the_fingerprint_changes_with_a_unit_a_boundary_a_label_and_a_split():
    same = changed_corpus(train=split_of([[4, 5], [6]], [["on"], ["off"]]))
    others = [
        changed_corpus(train=split_of([[4, 7], [6]], [["on"], ["off"]])),
        changed_corpus(train=split_of([[4], [5, 6]], [["on"], ["off"]])),
        changed_corpus(train=split_of([[4, 5], [6]], [["off"], ["off"]])),
        changed_corpus(valid=split_of([[4]], [["on"]])),
    ]
    assert same == changed_corpus()
    assert len({same, *others}) == 5


@pytest.mark.parametrize("missing", SPLITS)
def test_a_missing_split_is_named(tmp_path, missing):
    (write_corpus(tmp_path, "plain") / f"{missing}.txt").unlink()
    with pytest.raises(DataError, match=rf"expected a file of the {missing} split .*, found none"):
        load_corpus(tmp_path, tiny_dictionary(), "tiny")


def test_two_files_of_a_split_are_refused_not_chosen_between(tmp_path):
    (write_corpus(tmp_path, "plain") / "valid.jsonl").write_text("")
    with pytest.raises(DataError, match=r"expected one file of the valid split, got valid\.jsonl, valid\.txt"):
        load_corpus(tmp_path, tiny_dictionary(), "tiny")


def test_a_file_whose_name_only_begins_like_a_split_is_none(tmp_path):
    (write_corpus(tmp_path, "plain") / "train_old.txt").write_text("")
    assert split_file(tmp_path, "train").name == "train.txt"


def test_an_absent_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="nowhere: expected a folder with train, valid and test files, found none"):
        load_corpus(tmp_path / "nowhere", tiny_dictionary(), "tiny")


def whole_gzip():
    lines = "".join(f"{number % 16} {number % 7} <s> on\n" for number in range(300))
    return gzip.compress(lines.encode(), mtime=0)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_gzip_file_cut_off_anywhere_is_refused(tmp_path, share):
    whole = whole_gzip()
    (tmp_path / "train.txt.gz").write_bytes(whole[: 2 + int(share * (len(whole) - 2))])
    with pytest.raises(DataError, match=r"train\.txt\.gz: expected a whole gzip file, got one that is cut off"):
        read_split(tmp_path / "train.txt.gz", tiny_dictionary(), "train")


def test_a_damaged_gzip_file_is_refused(tmp_path):
    damaged = bytearray(whole_gzip())
    damaged[len(damaged) // 2] ^= 0xFF
    (tmp_path / "train.txt.gz").write_bytes(bytes(damaged))
    with pytest.raises(DataError, match=r"train\.txt\.gz: expected a whole gzip file, got "):
        read_split(tmp_path / "train.txt.gz", tiny_dictionary(), "train")


@pytest.mark.parametrize("packing", [bytes, gzip.compress], ids=["plain file", "gzipped"])
def test_a_file_that_is_not_utf8_is_refused(tmp_path, packing):
    (tmp_path / "train.txt").write_bytes(packing("1 2 <s> caf\u00e9\n".encode("latin-1")))
    with pytest.raises(DataError, match=r"train\.txt line 1: expected text \(UTF-8\), got byte 0xe9; is it in an"):
        read_split(tmp_path / "train.txt", tiny_dictionary(), "train")


def test_a_folder_where_a_file_should_be_is_refused(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="train: expected a readable file, got Is a directory"):
        read_split(split_file(tmp_path, "train"), tiny_dictionary(), "train")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "train.txt").write_text("")
    with pytest.raises(DataError, match=r"train\.txt: expected at least one utterance, got an empty file"):
        read_split(tmp_path / "train.txt", tiny_dictionary(), "train")


def test_a_bad_line_in_a_file_is_told_with_file_and_line(tmp_path):
    (tmp_path / "valid.txt").write_text("1 2 <s> on\n1 99 <s> on\n")
    place = re.escape(f"{tmp_path / 'valid.txt'} line 2: ")
    with pytest.raises(
        DataError, match=place + r"expected units of the LM's dictionary \(.*\), got '99'; was it made"
    ):
        read_split(tmp_path / "valid.txt", tiny_dictionary(), "valid")


def test_utterances_to_answer_need_no_labels():
    split = read_units(["1 2\n", "3 <s> on\n"], tiny_dictionary(), "standard input")
    assert split.answers == ((), ("on",))
    assert split.name == "standard input"


def test_utterances_to_answer_are_checked_like_any_others():
    with pytest.raises(DataError, match="standard input line 2: expected units of the LM's dictionary"):
        read_units(["1 2\n", "3 99\n"], tiny_dictionary(), "standard input")


def test_what_else_unicode_calls_a_line_end_may_stand_in_json(tmp_path):
    record = json.dumps({"units": "1 2", "labels": ["on"], "text": "switch\u2028on"}, ensure_ascii=False)
    (tmp_path / "train.jsonl").write_text(record + "\n", encoding="utf-8")
    assert len(read_split(tmp_path / "train.jsonl", tiny_dictionary(), "train")) == 1


def test_a_part_of_the_training_split_is_always_the_same_and_in_every_larger_part(tmp_path):
    folder, whole = write_corpus(tmp_path, "plain"), tiny_corpus()

    def part(count):
        return load_corpus(folder, tiny_dictionary(), "tiny", train_utterances=count)

    small, again, large = part(10), part(10), part(25)
    assert small.fingerprint == again.fingerprint != large.fingerprint
    order = {utterance: i for i, utterance in enumerate(whole.splits["train"].ids)}
    kept, kept_of_large = ([order[i] for i in corpus.splits["train"].ids] for corpus in (small, large))
    assert (len(kept), kept) == (10, sorted(kept))
    assert set(kept) < set(kept_of_large)
    assert_same_columns(small.splits["train"], whole.splits["train"].take(np.array(kept)))
    assert_same_columns(small.splits["valid"], whole.splits["valid"])
    assert part(0).fingerprint == part(40).fingerprint == part(99).fingerprint == whole.fingerprint


def test_utterances_come_one_by_one_from_every_form_with_labels_or_without(tmp_path):
    split = tiny_corpus().splits["valid"]
    wanted = [tuple(tiny_dictionary().symbol(int(u)) for u in split.source(i)) for i in range(len(split))]
    for form in FORMS:
        (tmp_path / "a").write_text("\n".join(in_form(form, split, tiny_dictionary())))
        assert list(UtteranceReader(tmp_path / "a", lambda unit: True)) == wanted
    (tmp_path / "a").write_text("\n".join(" ".join(units) for units in wanted))
    assert list(UtteranceReader(tmp_path / "a", lambda unit: True)) == wanted


def test_bad_utterances_are_named_after_the_last_one(tmp_path):
    (tmp_path / "a").write_text("1 2\n3 x\n4\ny\n")
    with pytest.raises(
        DataError, match=r"a: 2 bad lines: line 2: expected units of the dictionary, got 'x'; .*line 4"
    ):
        list(UtteranceReader(tmp_path / "a", str.isdecimal))
