"""An exported rival: it answers as the trial did, without its LM, however long an utterance is."""

import json
from dataclasses import replace

import numpy as np
import pytest

from sp_search.errors import CheckpointError
from sp_search.export.folder import of_task, write_export
from sp_search.export.predictor import load_predictor
from sp_search.prompts.file import load_prompt, save_prompt
from sp_search.rivals.trainer import RivalTrainer
from sp_search.types import Member
from tests.export.winner import DEEP, train_and_export
from tests.rivals.test_trainer import BOTH, NGRAM, RETRIEVAL
from tests.tiny import ANSWERS, CPU, split_of, tiny_data, tiny_lm, tiny_texts


def exported(folder, params, data):
    """A fitted trial, and the folder that it was exported into."""
    trainer = RivalTrainer(data.task, data.corpus)
    trainer.add(0, params, seed=0, budget=8)
    trainer.advance([0], {0: 8})
    trainer.save(0, folder / "state")
    document = {
        **of_task(data.task, data.space),
        "lm": {"name": "tiny", "fingerprint": tiny_lm().fingerprint},
        "data": {"name": "tiny", "fingerprint": data.corpus.fingerprint},
        "dictionary_fingerprint": data.dictionary.fingerprint,
        "metrics": {"test": trainer.evaluate(0, "test")},
        "versions": {"python": "3.11.7", "mlflow": "3.17.2"},
    }
    write_export(folder / "best", [member_of(folder / "state", params)], document, None)
    return trainer.rival(0), folder / "best"


def member_of(state, params):
    return Member(share=1.0, trial=0, seed=0, params=params, budget=8, state=state)


def predicted(folder, data, split):
    predictor, _ = load_predictor(folder, tiny_lm(), data.dictionary, device=CPU, dtype="float32")
    return list(predictor.predict(split))


@BOTH
def test_chosen_answers_come_with_the_probability_of_every_one(tmp_path, params):
    data = tiny_data()
    rival, folder = exported(tmp_path, params, data)
    test = data.corpus.splits["test"]
    found = predicted(folder, data, test)
    assert [prediction.labels for prediction in found] == rival.answers(test)
    for prediction, row in zip(found, np.exp(rival.log_probs(test)), strict=True):
        assert next(iter(prediction.scores)) == " ".join(prediction.labels)
        wanted = {" ".join(answer): share for answer, share in zip(rival.legal, row.tolist(), strict=True)}
        assert prediction.scores == pytest.approx(wanted, abs=1e-6)
        assert len(wanted) == len(ANSWERS)


@BOTH
def test_written_answers_come_with_their_own_probability(tmp_path, params):
    data = tiny_texts()
    rival, folder = exported(tmp_path, params, data)
    test = data.corpus.splits["test"]
    best = np.exp(rival.log_probs(test)).max(axis=1)
    for prediction, answer, share in zip(predicted(folder, data, test), rival.answers(test), best, strict=True):
        assert prediction.labels == answer
        assert prediction.scores == {" ".join(answer): pytest.approx(float(share), rel=1e-5)}


def test_an_utterance_longer_than_the_lm_has_positions_is_answered(tmp_path):
    data = tiny_data()
    _, folder = exported(tmp_path, NGRAM, data)
    (prediction,) = predicted(folder, data, split_of([[5, 6] * 500], [()], "long"))
    assert prediction.labels in ANSWERS


@BOTH
def test_the_folder_says_what_is_in_it(tmp_path, params):
    data = tiny_data()
    _, folder = exported(tmp_path, params, data)
    title = {"ngram": "# N-gram model for intent\n", "retrieval": "# Nearest training utterance for intent\n"}
    assert (folder / "README.md").read_text().startswith(title[params["method"]])
    document = json.loads((folder / "prompt.json").read_text())
    (member,) = document["members"]
    assert set(member) == {"share", "params", "rival"}
    assert member["rival"]["settings"]["ngrams"] == 2


def test_a_folder_that_lost_a_tensor_is_refused(tmp_path):
    data = tiny_data()
    _, folder = exported(tmp_path, RETRIEVAL, data)
    tensors, document = load_prompt(folder)
    save_prompt(folder, {name: tensor for name, tensor in tensors.items() if name != "0.answer"}, document)
    with pytest.raises(CheckpointError, match=r"best: expected a whole rival, got a damaged one \('answer'\)"):
        predicted(folder, data, data.corpus.splits["test"])


def test_a_trial_that_was_never_fitted_is_not_exported(tmp_path):
    data = tiny_data()
    trainer = RivalTrainer(data.task, data.corpus)
    trainer.add(0, NGRAM, seed=0, budget=8)
    trainer.save(0, tmp_path / "state")
    with pytest.raises(CheckpointError, match=r"state/rival\.safetensors: expected a saved rival of method ngram"):
        write_export(tmp_path / "best", [member_of(tmp_path / "state", NGRAM)], {}, None)


@BOTH
@pytest.mark.parametrize("tokens_per_pass", [None, 1])
def test_a_rival_among_prompts_that_write_is_heard_as_the_trainer_heard_it(tmp_path, params, tokens_per_pass):
    data = tiny_texts()
    rival, _ = exported(tmp_path / "rival", params, data)
    prompt = train_and_export(tmp_path / "prompt", {**DEEP, "verbalizer": "linear"}, data=data)
    members = [
        replace(prompt.member, share=0.3),
        replace(member_of(tmp_path / "rival" / "state", params), share=0.7),
    ]
    write_export(tmp_path / "both", members, prompt.document, None)
    test = data.corpus.splits["test"]
    legal = [data.space.words(answer, data.task) for answer in data.space.answers]
    given = [(rival.scores(test, legal), 0.7)]
    wanted = [one.words for one in prompt.trainer.measure({0: 0.3}, "test", given)["answers"]]
    alone = [one.words for one in prompt.trainer.measure({0: 1.0}, "test")["answers"]]
    made = load_predictor(tmp_path / "both", prompt.lm, data.dictionary, device=CPU, dtype="float32")[0]
    assert [one.labels for one in made.predict(test, tokens_per_pass)] == wanted
    assert wanted != alone, "else the rival would not be heard"
