import json
import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from sp_search.engine.trial.checkpoint import read_state
from sp_search.errors import CheckpointError, ConfigError, StudyError
from sp_search.export.folder import best_folder, copy_export, exported_quantizer, write_export
from sp_search.export.page import readme
from sp_search.prompts.file import load_prompt
from tests.export.winner import DEEP, train_and_export
from tests.units.speech import quantizer

FILES = {"prompt.safetensors", "prompt.json", "README.md", "MLmodel", "requirements.txt", "python_env.yaml"}


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_a_folder_holds_tensors_document_and_a_page_and_nothing_else(winner):
    assert names(winner.folder) == FILES


def test_the_tensors_are_those_of_the_trials_state(winner):
    wanted = read_state(winner.member.state)["tensors"]
    found = load_file(winner.folder / "prompt.safetensors")
    assert set(wanted) == {"separator", "keys", "values"}
    assert set(found) == {f"0.{name}" for name in wanted}
    assert all(torch.equal(found[f"0.{name}"], tensor) for name, tensor in wanted.items())


def test_the_document_says_all_that_is_known(winner):
    document = json.loads((winner.folder / "prompt.json").read_text())
    state = read_state(winner.member.state)
    assert set(document) == {
        *winner.document,
        "format",
        "members",
        "tensors_sha256",
        "quantizer_fingerprint",
    }
    assert state["segments"] == [[0, 20]]
    assert document["members"] == [
        {
            "share": 1.0,
            "trial": 0,
            "seed": 0,
            "params": DEEP,
            "budget": 10**6,
            "verbalizer": {"kind": "frequency", "units": state["units"]},
            "segments": [[0, 20]],
        }
    ]
    assert {name: document[name] for name in winner.document} == winner.document


def test_the_page_names_lm_data_metrics_and_settings(winner):
    page = (winner.folder / "README.md").read_text()
    assert f"unit LM `tiny` (fingerprint `{winner.lm.fingerprint[:12]}`)" in page
    assert f"The training data was `tiny` (fingerprint `{winner.data.corpus.fingerprint[:12]}`).\n" in page
    assert "\nIt gives one of " in page
    assert "| valid | accuracy | 0.5000 |" in page
    assert "| prompt_length | 3 |" in page


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("demo", "The LM `demo` comes with sp_search."),
        ("gslm_hubert100", "The LM `gslm_hubert100` is published: sp_search downloads it once. Its licence: MIT."),
        (
            "mine",
            "The LM `mine` is not published: get its folder from who made this prompt, and type `lm=ITS_PATH`.",
        ),
    ],
)
def test_the_page_says_where_the_lm_is_from_and_leaves_the_licence_to_its_makers(winner, name, told):
    page = readme({**load_prompt(winner.folder)[1], "lm": {"name": name, "fingerprint": "a" * 64}})
    assert f"- {told}\n" in page
    assert "Linux and Python 3.11 or 3.12" in page
    assert "The licence of this prompt is for its makers to choose" in page


def test_the_page_has_intervals_and_the_sizes_of_both_parts(winner, tmp_path):
    parted = {
        "metrics": {"test": {"wer": 0.25, "wer_new": 0.75}, "valid": {"wer_new": 0.5}},
        "intervals": {"wer": [0.2, 0.3], "wer_new": [0.7, 0.8]},
        "parts": {"valid": {"heard": 1800, "new": 70}, "test": {"heard": 1000, "new": 50}},
    }
    write_export(tmp_path / "parted", [winner.member], winner.document | parted, None)
    page = (tmp_path / "parted" / "README.md").read_text()
    assert (
        "| split | metric | value | 95 % interval |\n| --- | --- | --- | --- |\n"
        "| test | wer | 0.2500 | 0.2000 to 0.3000 |\n"
        "| test | wer_new | 0.7500 | 0.7000 to 0.8000 |\n| valid | wer_new | 0.5000 |  |\n\n"
        "Training has the answers of `_heard` and lacks those of `_new`: 1,000 and 50 in test, 1,800 and 70 in valid "
        "utterances.\n\n## What it needs"
    ) in page
    assert "_heard" not in (winner.folder / "README.md").read_text()


def test_a_prompt_weighs_kilobytes(winner):
    assert sum(path.stat().st_size for path in winner.folder.iterdir()) < 20_000


def test_an_export_replaces_an_older_one(winner, tmp_path):
    other = train_and_export(tmp_path / "other", dict(prompt_length=2, depth=0, lr=0.01))
    write_export(winner.folder, [other.member], other.document, None)
    assert names(winner.folder) == FILES
    assert set(load_file(winner.folder / "prompt.safetensors")) == {"0.separator", "0.prefix"}


def test_a_state_that_is_not_there_leaves_no_export(winner, tmp_path):
    with pytest.raises(CheckpointError, match=r"state\.pt: expected a trial's saved state, found no such file"):
        write_export(tmp_path / "new", [replace(winner.member, state=tmp_path / "nowhere")], winner.document, None)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("before", ["absent", "empty", "an older export"])
def test_a_copy_is_the_export_byte_for_byte(winner, tmp_path, before):
    target = tmp_path / "deep" / "target"
    if before != "absent":
        target.mkdir(parents=True)
    if before == "an older export":
        write_export(target, [winner.member], {**winner.document, "task": "keyword"}, None)
    copy_export(winner.folder, target)
    assert {name: (target / name).read_bytes() for name in names(target)} == {
        name: (winner.folder / name).read_bytes() for name in FILES
    }


def test_nothing_is_copied_over_a_folder_of_other_files(winner, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "README.md").write_text("mine")
    with pytest.raises(
        ConfigError, match=r"thesis: expected a new, empty or exported folder, got one with other files$"
    ):
        copy_export(winner.folder, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "README.md").read_text() == "mine"


def test_a_damaged_export_is_not_copied(winner, tmp_path):
    path = winner.folder / "prompt.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="got others or a damaged file; export it again"):
        copy_export(winner.folder, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_the_winner_of_a_study_lies_in_its_folder(winner, tmp_path):
    assert best_folder(tmp_path.parent, tmp_path.name) == winner.folder


def test_a_study_without_a_winner_is_told_to_run_to_its_end(tmp_path):
    place = re.escape(str(tmp_path / "intent-1" / "best"))
    with pytest.raises(
        StudyError,
        match=f"^{place}: expected the winner of study intent-1, found none; run the search to its end first$",
    ):
        best_folder(tmp_path, "intent-1")


def test_nothing_is_copied_over_a_file(winner, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt: expected a new, empty or exported folder, got a file$"):
        copy_export(winner.folder, tmp_path / "notes.txt")


def test_nothing_is_copied_over_itself(winner):
    with pytest.raises(ConfigError, match=r"best: expected another folder than the one that is copied$"):
        copy_export(winner.folder, winner.folder / ".." / "best")


def test_a_copy_has_the_pages_that_its_source_has_lost(winner, tmp_path):
    (winner.folder / "README.md").unlink()
    (winner.folder / "MLmodel").unlink()
    copy_export(winner.folder, tmp_path / "target")
    assert names(tmp_path / "target") == FILES


@pytest.fixture
def of_audio(tmp_path):
    """An export of a corpus whose units are known to come from audio."""
    return train_and_export(tmp_path / "of audio", DEEP, quantizer())


def test_an_export_holds_the_quantizer_of_its_corpus_and_so_does_its_copy(of_audio, tmp_path):
    copy_export(of_audio.folder, tmp_path / "copy")
    for folder in (of_audio.folder, tmp_path / "copy"):
        _, document = load_prompt(folder)
        assert names(folder) == FILES | {"quantizer.safetensors"}
        assert document["quantizer_fingerprint"] == quantizer().fingerprint
        assert exported_quantizer(folder, document).fingerprint == quantizer().fingerprint
    page = (of_audio.folder / "README.md").read_text()
    assert "    sp-search predict prompt=. lm=tiny input=clip.wav\n" in page
    assert '    print(prompt.predict("clip.wav"))\n' in page


def test_an_export_without_a_quantizer_leaves_none_of_an_older_one(of_audio, winner, tmp_path):
    assert "clip.wav" not in (winner.folder / "README.md").read_text()
    copy_export(of_audio.folder, tmp_path / "copy")
    copy_export(winner.folder, tmp_path / "copy")
    write_export(of_audio.folder, [winner.member], winner.document, None)
    assert names(of_audio.folder) == names(tmp_path / "copy") == FILES
    assert exported_quantizer(of_audio.folder, load_prompt(of_audio.folder)[1]) is None


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (None, r"quantizer\.safetensors: expected a quantizer, found no such file$"),
        (
            quantizer(seed=1),
            r"expected the quantizer that prompt\.json names \(\w{12}\.\.\.\), got \w{12}\.\.\.; export it",
        ),
    ],
)
def test_a_quantizer_that_is_lost_or_another_is_refused(of_audio, tmp_path, other, message):
    path = of_audio.folder / "quantizer.safetensors"
    path.unlink() if other is None else other.save(path)
    with pytest.raises(CheckpointError, match=message):
        copy_export(of_audio.folder, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_study_that_may_not_be_looked_into_is_refused_in_one_line(tmp_path, locked):
    locked(tmp_path)
    with pytest.raises(
        StudyError, match=r"prompt.json: expected a path that can be looked at, got Permission denied$"
    ):
        best_folder(tmp_path, "s")
