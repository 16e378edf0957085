"""What an exported folder must say of itself, whoever has edited it."""

import json
from contextlib import suppress

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from sp_search.errors import CheckpointError, UserError
from sp_search.export.document import load_export
from sp_search.export.predictor import load_predictor
from sp_search.prompts.file import DOCUMENT
from tests.any_json import changed
from tests.export.winner import DEEP, train_and_export

NEEDED = ("task", "answers", "label_space", "lm", "data", "dictionary_fingerprint", "members", "metrics", "versions")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return train_and_export(tmp_path_factory.mktemp("made"), DEEP)


@pytest.fixture
def written(made):
    """Writes another document beside the tensors; the sound one is there again behind the test."""
    path = made.folder / DOCUMENT
    sound = path.read_text()
    yield lambda document: path.write_text(json.dumps(document))
    path.write_text(sound)


def sound(made):
    return load_export(made.folder)[1]


@pytest.mark.parametrize("name", NEEDED)
def test_a_document_that_lacks_something_is_refused_by_its_name(made, written, name):
    written({key: value for key, value in sound(made).items() if key != name})
    with pytest.raises(CheckpointError, match=rf"prompt.json: {name}: expected a value, got none; export it again$"):
        load_export(made.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lm": [1]}, r"lm: expected an object, got \[1\]"),
        ({"members": 5}, "members: expected a list, got 5"),
        ({"members": [{"share": "all", "params": {}}]}, "members.share: expected a number, got 'all'"),
        ({"members": [{"share": 1, "params": {"lr": 0.1}}]}, "members.verbalizer: expected a value, got none"),
        ({"dictionary_fingerprint": 7}, "dictionary_fingerprint: expected text, got 7"),
        (
            {"label_space": {"symbols": ["a"], "symbol_counts": [1], "answers": [], "answer_counts": []}},
            "label_space.answers: expected answers to choose from, got none",
        ),
        (
            {"label_space": {"symbols": ["a"], "symbol_counts": [1], "answers": [[1]], "answer_counts": [1]}},
            "label_space.answers: expected numbers of the 1 symbols, got another one",
        ),
    ],
)
def test_a_value_of_another_kind_is_refused_by_its_place(made, written, change, message):
    written(sound(made) | change)
    with pytest.raises(CheckpointError, match=f"prompt.json: {message}; export it again$"):
        load_export(made.folder)


def test_an_answer_of_a_symbol_that_there_is_not_is_refused(made, written):
    document = sound(made)
    document["label_space"]["answers"][0] = [99]
    written(document)
    with pytest.raises(CheckpointError, match=r"label_space.answers: expected numbers of the \d+ symbols, got"):
        load_export(made.folder)


def test_whatever_is_changed_in_a_document_it_answers_or_is_refused(made, written):
    whole = {key: value for key, value in sound(made).items() if key != "tensors_sha256"}
    whole["training"] = {"dtype": "float32", "batch_size": 4, "stream_seed": 0}
    kept, device = sound(made)["tensors_sha256"], torch.device("cpu")

    @given(document=changed(whole))
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    def hold(document):
        written(document | {"tensors_sha256": kept} if isinstance(document, dict) else document)
        with suppress(UserError):  # a refusal in one line is as good as an answer; any other error is none
            predictor, _ = load_predictor(made.folder, made.lm, made.data.dictionary, device=device, dtype="auto")
            assert list(predictor.predict(made.data.corpus.splits["test"]))

    hold()
