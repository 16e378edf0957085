"""`sp-search init`: the first minutes with recordings of one's own."""

import json
import shlex

import numpy as np
import pytest
import soundfile

from tests.cli.shell import sp_search
from tests.units.corpora import layouts
from tests.units.speech import write_hum

ROW = "clips/{i}.wav,{split},{emotion},{speaker}\n"


def table(folder, count=12):
    """A table `my.csv` of two emotions, each in every split; a speaker speaks in one split."""
    text = "path,split,emotion,speaker\n"
    for i in range(count):
        write_hum(folder / f"clips/{i}.wav", 0.2 + 0.1 * (i % 3))
        split = ("train", "train", "valid", "test")[i // 2 % 4]
        text += ROW.format(i=i, split=split, emotion=("glad", "cross")[i % 2], speaker=f"{split}{i % 2}")
    (folder / "my.csv").write_text(text)
    return folder / "my.csv"


def everything_in(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_table_is_described_and_nothing_is_written(tmp_path):
    table(tmp_path)
    before = everything_in(tmp_path)
    said = sp_search(tmp_path, "init", "my.csv").stdout
    assert everything_in(tmp_path) == before
    assert said.startswith("my.csv: 12 utterances, 4 s of audio\n")
    assert "\ntrain              8           2 s      0.2 s    0.3 s     0.4 s\n" in said
    assert "\nfiles: 12 of 16,000 Hz, 1 channel\n" in said
    assert "\nemotion: 2 different answers: glad 6, cross 6\n  fits task=label task.field=emotion\n" in said
    assert "\n  fits no task: valid or test has labels that training lacks: test0, test1, valid0 and 1 more\n" in said
    assert "faults" not in said
    assert "check:" not in said


def test_the_commands_that_it_proposes_are_those_of_prepare_and_lead_to_an_answer_for_a_test_recording(tmp_path):
    table(tmp_path)
    said = sp_search(tmp_path, "init", "my.csv").stdout
    own, published = said.partition("next, one after the other:\n")[2].split("or with a published ")
    study = ["task=label", "task.field=emotion", "lm=lms/my", "data=units/my"]
    prepare, pretrain, search, export, predict = (shlex.split(line)[1:] for line in own.splitlines())
    assert prepare == ["prepare", "corpus=my.csv", "to=units/my", "units.quantizer=null"]
    assert pretrain[:3] == ["pretrain", "corpus=units/my", "to=lms/my"]
    assert (search, export) == (["search", *study], ["export", *study, "to=exports/my"])
    assert predict == ["predict", "prompt=exports/my", "lm=lms/my", "input=clips/6.wav"]
    assert [shlex.split(line)[1:] for line in published.splitlines()[1:]] == [
        ["prepare", "corpus=my.csv", "to=units/my", "units=hubert"],
        ["search", "task=label", "task.field=emotion", "lm=gslm_hubert100", "data=units/my"],
    ]


def test_faults_are_told_by_line_the_rest_is_described_and_the_exit_code_is_1(tmp_path):
    path = table(tmp_path)
    (tmp_path / "clips/1.wav").unlink()
    soundfile.write(tmp_path / "clips/2.wav", np.zeros((4410, 2)), 44_100)
    with path.open("a") as file:
        file.write("clips/0.wav,dev,glad,eve\nclips/0.wav,test,glad\n")
    said = sp_search(tmp_path, "init", "my.csv", expect=1).stdout
    assert said.startswith("my.csv: 11 utterances, ")
    assert (
        "\nfiles: 10 of 16,000 Hz, 1 channel; 1 of 44,100 Hz, 2 channels; prepare makes 16,000 Hz mono of all\n"
        in said
    )
    assert (
        "\nfaults: 3\n"
        "  line 14: expected split train, valid, test, got 'dev'\n"
        "  line 15: expected 4 fields, got 3\n"
        f"  line 3: {tmp_path}/clips/1.wav: expected an audio file, found no such file\n"
    ) in said


def test_speakers_and_files_of_training_that_are_tested_too_are_pointed_out(tmp_path):
    path = table(tmp_path)
    path.write_text(path.read_text().replace("test0", "train0").replace("clips/7.wav", "clips/0.wav"))
    said = sp_search(tmp_path, "init", "my.csv").stdout
    assert "\ncheck: 1 speaker of valid or test is in training too (train0); results will be too good\n" in said
    assert f"\ncheck: 1 file is in two splits ({tmp_path}/clips/0.wav); results will be too good\n" in said


def test_a_table_whose_files_are_all_absent_says_where_paths_start(tmp_path):
    path = table(tmp_path)
    (tmp_path / "clips").rename(tmp_path / "moved")
    said = sp_search(tmp_path, "init", "my.csv", expect=1).stdout
    assert said.startswith("my.csv: 0 utterances, ")
    assert said.endswith(
        f"\nnext: correct the paths; a relative path starts at the folder of the table, {path.parent}\n"
    )


def test_a_table_in_which_no_row_is_good_is_one_line(tmp_path):
    (tmp_path / "my.csv").write_text("path,split,emotion\na.wav,dev,glad\n")
    done = sp_search(tmp_path, "init", "my.csv", expect=2)
    assert done == ("", f"sp-search: {tmp_path}/my.csv line 2: expected split train, valid, test, got 'dev'\n")


@pytest.mark.parametrize("form", ["fluent_commands", "librispeech", "speech_commands", "audio_snips"])
def test_the_folder_of_a_published_corpus_is_recognised(tmp_path, form):
    getattr(layouts, form)(tmp_path / "corpus")
    said = sp_search(tmp_path, "init", "corpus").stdout
    assert said.startswith(f"corpus (form={form}): ")
    assert f"  sp-search prepare form={form} corpus=corpus to=units/corpus units.quantizer=null\n" in said


def test_a_folder_of_audio_gets_a_table_where_one_is_asked_for(tmp_path):
    for label in ("glad", "cross"):
        for i in range(5):
            write_hum(tmp_path / "clips" / label / f"{i}.wav")
    (tmp_path / "clips/notes.txt").write_text("none")
    said = sp_search(tmp_path, "init", "clips").stdout
    assert said.startswith("clips: a folder with 10 audio files, 3 s, and no table\nfiles that are no audio: 1\n")
    assert "\nfolders that may be labels: 2, cross, glad\n" in said
    assert said.endswith("\nnext: sp-search init clips to=clips.csv writes a table for you to correct\n")
    assert {path.name for path in tmp_path.iterdir()} == {"clips"}
    told = sp_search(tmp_path, "init", "clips", "to=my.csv").stdout
    assert told.startswith("my.csv: written, 10 files\nthe splits were drawn file by file; if a speaker ")
    assert "\nlabel: 2 different answers: " in told
    assert told.partition("\n\n")[2] == sp_search(tmp_path, "init", "my.csv").stdout
    again = sp_search(tmp_path, "init", "clips", "to=my.csv", expect=2).stderr
    assert again.startswith(f"sp-search: to: expected the name of a new file, got {tmp_path}/my.csv, which is there;")


def test_a_table_without_labels_is_to_be_filled_in(tmp_path):
    write_hum(tmp_path / "clips/a.wav")
    told = sp_search(tmp_path, "init", "clips", "to=my.csv").stdout
    assert "the column label is empty, for no folder tells a label; fill it in\n" in told
    assert told.endswith("\nnext: sp-search init my.csv\n")


def test_a_table_for_what_has_one_is_refused(tmp_path):
    table(tmp_path)
    done = sp_search(tmp_path, "init", "my.csv", "to=b.csv", expect=2)
    assert done.stderr.startswith("sp-search: to: expected a folder of audio as the corpus, got ")


def test_a_second_word_without_a_key_is_named(tmp_path):
    table(tmp_path)
    done = sp_search(tmp_path, "init", "my.csv", "other.csv", expect=2)
    assert done.stderr.startswith("sp-search: other.csv: expected key=value")


def test_without_a_corpus_it_says_which_setting_is_needed(tmp_path):
    done = sp_search(tmp_path, "init", expect=2)
    assert done.stderr == "sp-search: corpus: expected a value, got none; say corpus=...\n"


def test_json_lines_and_names_with_a_blank_are_typed_as_a_shell_takes_them(tmp_path):
    rows = [
        {"path": str(write_hum(tmp_path / f"{i}.wav")), "split": split, "emotion": emotion}
        for i, (split, emotion) in enumerate((s, e) for s in ("train", "valid", "test") for e in ("glad", "cross"))
    ]
    (tmp_path / "my own.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    said = sp_search(tmp_path, "init", "my own.jsonl").stdout
    assert "  sp-search prepare corpus='my own.jsonl' to='units/my own' units.quantizer=null\n" in said
