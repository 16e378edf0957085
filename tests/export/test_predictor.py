import hashlib
import json
import re
import shutil
from dataclasses import replace

import pytest

from sp_search.errors import CheckpointError, DataError
from sp_search.export.predictor import check_partner, labelled_answers, load_predictor
from sp_search.metrics.accuracy import hits
from sp_search.prompts.file import DIGEST, load_prompt, save_prompt
from tests.export.winner import DEEP
from tests.tiny import ANSWERS, CPU, split_of, tiny_dictionary, tiny_lm

KINDS = {
    "deep": DEEP,
    "all layers": dict(prompt_length=2, depth=3, lr=0.03),
    "input": dict(prompt_length=3, depth=0, lr=0.03),
    "both": dict(prompt_length=3, depth=0, lr=0.03, position="both"),
    "deep infix": dict(prompt_length=3, depth=3, lr=0.03, position="infix", verbalizer="random"),
    "linear": dict(prompt_length=3, depth=2, lr=0.03, verbalizer="linear"),
    "cut": dict(prompt_length=3, depth=2, lr=0.03, max_source_units=4, side="bottom"),
    "fine-tuned": dict(method="finetune", lr=0.003),
    "fine-tuned, linear": dict(method="finetune", lr=0.003, verbalizer="linear"),
    "probe": dict(method="probe", lr=0.03, probe_layer=2, max_source_units=9),
}


def predictor_of(winner, dtype="float32", **partners):
    made = {"lm": winner.lm, "dictionary": winner.data.dictionary, **partners}
    return load_predictor(winner.folder, **made, device=CPU, dtype=dtype)[0]


def answers(winner, split, tokens_per_pass=None):
    return list(predictor_of(winner).predict(split, tokens_per_pass))


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def each(request, make_winner):
    """An exported trial of every kind."""
    return make_winner(request.param)


@pytest.fixture(scope="module")
def any_winner(make_winner):
    return make_winner(DEEP)


def one_utterance(split, i):
    return split_of([split.source(i).tolist()], [()], "one")


def test_an_export_is_as_accurate_as_the_trial_was(each):
    test = each.data.corpus.splits["test"]
    predicted = [prediction.labels for prediction in answers(each, test)]
    assert hits(predicted, test.answers).value == pytest.approx(each.trainer.evaluate([0], "test")[0]["accuracy"])


def test_an_export_answers_every_utterance_as_the_trial_does(each, monkeypatch):
    """With predictions for labels the trial is right everywhere only where it would have predicted the same."""
    data, valid = each.data, each.data.corpus.splits["valid"]
    predicted = answers(each, valid)
    relabelled = replace(valid, answers=tuple(prediction.labels for prediction in predicted))
    corpus = replace(data.corpus, splits={**data.corpus.splits, "valid": relabelled})
    monkeypatch.setattr(data, "corpus", corpus)
    assert each.trainer.evaluate([0], "valid")[0]["accuracy"] == 1.0


def test_one_utterance_a_pass_answers_as_many_do(each):
    test = each.data.corpus.splits["test"]
    alone, together = answers(each, test, tokens_per_pass=1), answers(each, test, tokens_per_pass=64 * 15)
    assert [one.labels for one in alone] == [one.labels for one in together]
    for one, other in zip(alone, together, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_an_utterance_is_answered_alone_as_among_others(any_winner):
    test = any_winner.data.corpus.splits["test"]
    together = answers(any_winner, test)
    for i, wanted in enumerate(together[:5]):
        assert answers(any_winner, one_utterance(test, i))[0].scores == pytest.approx(wanted.scores, abs=1e-5)


def test_in_bfloat16_the_others_move_a_score_by_rounding_and_turn_no_answer_but_a_tie(any_winner):
    test = any_winner.data.corpus.splits["test"]
    predictor = predictor_of(any_winner, "bfloat16")
    together = list(predictor.predict(test))
    for i, wanted in enumerate(together[:20]):
        (alone,) = predictor.predict(one_utterance(test, i))
        assert alone.scores == pytest.approx(wanted.scores, abs=0.03)
        best, second, *_ = wanted.scores.values()
        assert alone.labels == wanted.labels or best - second < 0.03


def test_answers_come_in_the_order_of_the_utterances(any_winner):
    test = any_winner.data.corpus.splits["test"]
    assert [prediction.id for prediction in answers(any_winner, test)] == list(test.ids)


def test_scores_are_shares_of_all_legal_answers_best_first(any_winner):
    for prediction in answers(any_winner, any_winner.data.corpus.splits["test"]):
        assert set(prediction.scores) == {" ".join(answer) for answer in ANSWERS}
        assert list(prediction.scores.values()) == sorted(prediction.scores.values(), reverse=True)
        assert sum(prediction.scores.values()) == pytest.approx(1.0, abs=1e-5)
        assert next(iter(prediction.scores)) == " ".join(prediction.labels)


def test_a_prediction_is_a_json_line(any_winner):
    prediction = answers(any_winner, any_winner.data.corpus.splits["test"])[0]
    best = {"id": "1", "labels": list(prediction.labels), "score": max(prediction.scores.values())}
    assert json.loads(json.dumps(prediction.to_json())) == best
    two = dict(sorted(prediction.scores.items(), key=lambda pair: -pair[1])[:2])
    assert json.loads(json.dumps(prediction.to_json(top=2))) == {**best, "scores": two}


def test_an_utterance_longer_than_the_lms_positions_is_refused(any_winner):
    """48 positions less `</s>`, `<s>` and three labels."""
    with pytest.raises(DataError, match=r"^stdin utterance 2: expected at most 43 units .*, got 44 \(too long: 1"):
        answers(any_winner, split_of([[5] * 43, [5] * 44], [(), ()], "stdin"))


def test_a_cut_source_may_be_of_any_length(make_winner):
    assert len(answers(make_winner(KINDS["cut"]), split_of([[5] * 500], [()], "stdin"))) == 1


def refusal(winner, **partners):
    with pytest.raises(CheckpointError) as caught:
        predictor_of(winner, **partners)
    return str(caught.value)


def test_a_prompt_on_another_lm_is_refused_with_both_fingerprints(any_winner):
    other = tiny_lm(seed=1)
    assert refusal(any_winner, lm=other) == (
        f"{any_winner.folder}: expected the LM it was trained on (fingerprint {any_winner.lm.fingerprint[:12]}), "
        f"got {other.fingerprint[:12]}; a prompt works on no other"
    )


def test_a_prompt_on_another_dictionary_is_refused_with_both_fingerprints(any_winner):
    other = tiny_dictionary(units=15)
    assert refusal(any_winner, dictionary=other) == (
        f"{any_winner.folder}: expected the unit dictionary it was trained on (fingerprint "
        f"{any_winner.data.dictionary.fingerprint[:12]}), got {other.fingerprint[:12]}; a prompt works on no other"
    )


def test_partners_that_fit_are_taken(tmp_path):
    check_partner(tmp_path, "LM", "abc", "abc")


def test_an_absent_folder_is_refused(any_winner, tmp_path):
    assert refusal(replace(any_winner, folder=tmp_path / "nowhere")) == (
        f"{tmp_path / 'nowhere'}: expected an exported prompt (prompt.safetensors and prompt.json), "
        "got No such file or directory"
    )


@pytest.mark.parametrize("name", ["prompt.safetensors", "prompt.json"])
def test_a_damaged_folder_is_refused(winner, name):
    path = winner.folder / name
    path.write_bytes(path.read_bytes()[:-10])
    assert re.search(r"prompt\.(json|safetensors): expected .* damaged file; export it again$", refusal(winner))


def test_a_folder_may_be_carried_elsewhere(winner, tmp_path):
    test = winner.data.corpus.splits["test"]
    wanted = answers(winner, test)
    carried = replace(winner, folder=shutil.copytree(winner.folder, tmp_path / "elsewhere"))
    assert answers(carried, test) == wanted


def test_labels_to_compare_with_must_be_there():
    with pytest.raises(DataError, match=r"^test utterance 2: expected labels to compare with, got none$"):
        labelled_answers(split_of([[5], [6]], [("on",), ()], "test"))


@pytest.mark.parametrize("got", [None, 4], ids=["none", "a later one"])
def test_a_prompt_of_another_format_is_refused(winner, got):
    named, document = load_prompt(winner.folder)
    save_prompt(winner.folder, named, {**document, "format": got})
    assert refusal(winner) == (
        f"{winner.folder}: expected an exported prompt of format 3, got {got}; export it again with this version"
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda tensors, document: document.update(members=[]), "expected an answer of one member or more, got none"),
        (
            lambda tensors, document: tensors.update({"0.keys": tensors["0.keys"][:, :1]}),
            "expected prompt tensors of shapes",
        ),
    ],
    ids=["no member", "another shape"],
)
def test_an_edited_export_is_refused_in_one_line(any_winner, tmp_path, spoil, message):
    folder = shutil.copytree(any_winner.folder, tmp_path / "edited")
    tensors, document = load_prompt(folder)
    spoil(tensors, document)
    save_prompt(folder, tensors if document["members"] else {}, document)
    with pytest.raises(CheckpointError, match=message):
        predictor_of(replace(any_winner, folder=folder))


def test_tensors_that_are_none_are_refused_though_the_document_names_them(any_winner, tmp_path):
    folder = shutil.copytree(any_winner.folder, tmp_path / "edited")
    (folder / "prompt.safetensors").write_bytes(b"not tensors")
    place = folder / "prompt.json"
    document = json.loads(place.read_text())
    place.write_text(json.dumps({**document, DIGEST: hashlib.sha256(b"not tensors").hexdigest()}))
    with pytest.raises(CheckpointError, match="expected tensors, got"):
        load_prompt(folder)
