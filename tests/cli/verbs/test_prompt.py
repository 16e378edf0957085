"""`sp_search.load` and what it gives."""

import json
import multiprocessing
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import sp_search
from sp_search.errors import CheckpointError, ConfigError, DataError
from sp_search.units.audio import load_audio
from tests.tiny import UNITS
from tests.units.speech import hum, quantizer, write_hum


@pytest.fixture(scope="module")
def prompt(exported):
    return sp_search.load(exported.folder, lm=exported.lm, device="cpu", dtype="float32")


def told(prediction):
    return prediction.labels, prediction.scores


def test_a_clip_its_samples_and_its_units_get_the_same_answer(prompt, tmp_path):
    path = write_hum(tmp_path / "clip.wav")
    samples = load_audio(path)
    units = quantizer(units=UNITS).units(samples)
    by_ear = prompt.predict(path)
    assert by_ear.id == "clip.wav"
    assert told(by_ear) == told(prompt.predict(str(path)))
    assert told(by_ear) == told(prompt.predict(samples, rate=16_000))
    assert told(by_ear) == told(prompt.predict(np.stack([samples, samples], axis=1), rate=16_000))
    for form in (units, np.array(units), tuple(map(str, units)), " ".join(map(str, units))):
        assert told(prompt.predict(form)) == told(by_ear)
    assert by_ear.score == max(by_ear.scores.values()) == by_ear.scores[by_ear.text]


def test_neighbouring_clips_go_through_the_lm_together(prompt, tmp_path, monkeypatch):
    clips = [write_hum(tmp_path / f"{name}.wav", seed=seed) for seed, name in enumerate("abc")]
    real, passes = prompt._prompts.of_lines, []

    def counted(lines, place):
        passes.append(len(lines))
        return real(lines, place)

    monkeypatch.setattr(prompt._prompts, "of_lines", counted)
    found = prompt.predict_many([*clips, "1 2", [3], clips[0]])
    assert [one.id for one in found] == ["a.wav", "b.wav", "c.wav", "4", "5", "a.wav"]
    assert passes == [3, 2, 1]


def test_a_generator_may_ask_the_prompt_itself(prompt):
    found = prompt.predict_many([prompt.predict("1 2").id, number] for number in range(2))
    assert [one.id for one in found] == ["1", "2"]


def test_the_home_folder_is_written_with_a_tilde(prompt, tmp_path, monkeypatch):
    write_hum(tmp_path / "a.wav")
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in ("~", "~/a.wav", Path("~/a.wav")):
        assert [one.id for one in prompt.predict_many(place)] == ["a.wav"]
    with pytest.raises(DataError, match=r"^input: expected a path, got an empty text$"):
        prompt.predict_many("")


def test_samples_of_another_rate_are_heard_at_their_own(prompt, tmp_path):
    import soundfile

    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 8_000).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, 8_000, subtype="FLOAT")
    assert told(prompt.predict(samples, rate=8_000)) == told(prompt.predict(tmp_path / "a.wav"))


def test_many_of_all_kinds_are_answered_in_their_order(prompt, tmp_path):
    clips = [write_hum(tmp_path / f"{name}.wav", seed=seed) for seed, name in enumerate("ab")]
    found = prompt.predict_many([clips[1], [1, 2, 3], "4 5 6", clips[0], np.array([7, 8])])
    assert [one.id for one in found] == ["b.wav", "2", "3", "a.wav", "5"]
    alone = [prompt.predict(one) for one in (clips[1], [1, 2, 3], "4 5 6", clips[0], np.array([7, 8]))]
    for together, by_itself in zip(found, alone, strict=True):
        assert together.scores == pytest.approx(by_itself.scores, abs=1e-5)
    assert [one.id for one in prompt.predict_many(tmp_path)] == ["a.wav", "b.wav"]
    assert [one.id for one in prompt.predict_many(f"{tmp_path}/b*.wav")] == ["b.wav"]
    assert prompt.predict_many([]) == []


@pytest.mark.parametrize(
    ("utterance", "rate", "message"),
    [
        (hum(0.2), None, r"utterance 1: expected the rate of its samples in Hz, got none; say rate=16000"),
        (hum(0.2), 3, r"utterance 1: expected a rate of 1,000 to 1,000,000 Hz, got 3"),
        (np.full(9000, np.nan), 16_000, r"utterance 1: expected finite samples, got nan at 0.000 s \(9000 such"),
        (np.zeros(5), 16_000, r"utterance 1: "),
        (
            np.zeros((2, 3, 4)),
            16_000,
            r"utterance 1: expected samples \(S,\) or \(S, channels\), got shape \(2, 3, 4\)",
        ),
        (
            [1, 2],
            16_000,
            r"rate: expected none with the path of an audio file, a line or a sequence of units, got 16",
        ),
        ("1 2", 16_000, r"rate: expected none with the path of an audio file, a line or a seq"),
        ("a.wav", 16_000, r"rate: expected none with the path of an audio file, a line or a seq"),
        ([], None, r"utterance 1: expected the path of an audio file, .* got \[\]"),
        ([1.5], None, r"utterance 1: expected the path of an audio file, .* got \[1\.5\]"),
        ([1, 999], None, r"input line 1: expected units of the LM's dictionary \(100 units, 0 to 99\), got '999'"),
        ("absent.wav", None, r"absent\.wav: expected unit lines or audio, got No such file"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_line(prompt, utterance, rate, message):
    with pytest.raises(DataError, match=f"^{message}") as caught:
        prompt.predict(utterance, rate)
    assert "\n" not in str(caught.value)


def test_one_is_asked_for_one_and_a_folder_of_two_is_refused(prompt, tmp_path):
    for name in "ab":
        write_hum(tmp_path / f"{name}.wav")
    with pytest.raises(ConfigError, match=r"^utterance: expected one, got 2 in .*; use predict_many$"):
        prompt.predict(tmp_path)


def test_threads_that_share_a_prompt_get_the_answers_of_one(prompt):
    asked = [[unit % UNITS for unit in range(start, start + 3 + start % 5)] for start in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(prompt.predict, asked))
    assert list(map(told, found)) == [told(prompt.predict(one)) for one in asked]


def _answer(prompt, utterance, pipe):
    pipe.send((prompt.predict(utterance).scores, torch.get_num_threads()))


def test_a_process_that_was_forked_off_answers_as_its_parent(prompt):
    torch.set_num_threads(2)
    torch.ones(2000, 2000) @ torch.ones(2000, 2000)  # OpenMP's threads are there, and stay behind
    wanted = prompt.predict([1, 2, 3]).scores
    here, there = multiprocessing.Pipe()
    with prompt._lock:  # as where another thread answers in that moment
        process = multiprocessing.get_context("fork").Process(target=_answer, args=(prompt, [1, 2, 3], there))
        process.start()
    assert here.poll(30)
    scores, threads = here.recv()
    process.join(30)
    assert (process.exitcode, threads) == (0, 1)
    assert scores == pytest.approx(wanted, abs=1e-5)


def test_a_prompt_measures_itself_as_its_training_did(prompt, exported):
    found = prompt.evaluate(exported.data, split="test")
    assert found["metrics"]["accuracy"] == pytest.approx(exported.winner.trainer.evaluate([0], "test")[0]["accuracy"])
    assert {"baseline", "other_rivals", "intervals", "eer"} <= set(found)
    with pytest.raises(ConfigError, match=r"^split: expected train, valid, test, got 'dev'$"):
        prompt.evaluate(exported.data, split="dev")


def test_a_prompt_shows_itself_in_text_and_in_a_notebook(prompt, exported):
    accuracy = prompt.metrics["test"]["accuracy"]
    assert repr(prompt) == f"<Prompt for intent on tiny: accuracy {accuracy:.4f}; {exported.folder}>"
    assert f"<tr><th>test</th><td>accuracy {accuracy:.4f}</td></tr>" in prompt._repr_html_()


def test_an_lm_that_is_known_to_the_prompt_by_a_folder_alone_is_asked_for(exported):
    place = re.escape(str(exported.folder))
    with pytest.raises(
        ConfigError,
        match=rf"^lm: expected demo, .* got 'tiny' \({place} was trained on it: name its folder with lm=\)$",
    ):
        sp_search.load(exported.folder)


def test_an_lm_of_ones_own_is_looked_for_where_it_was_at_the_training(exported, tmp_path, monkeypatch):
    folder = shutil.copytree(exported.folder, tmp_path / "best")
    document = json.loads((folder / "prompt.json").read_text())
    document["lm"]["path"] = str(tmp_path / "lms" / "mine")
    (folder / "prompt.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=r"^lm: expected demo, .* got 'tiny'"):
        sp_search.load(folder)
    (tmp_path / "lms" / "mine").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"lms/mine: expected checkpoint_best\.pt or one \*\.pt"):
        sp_search.load(folder)
