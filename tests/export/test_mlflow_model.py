"""Which LM an exported folder is loaded on, where the LM is one of a user's own."""

import json
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import mlflow
import pytest

from sp_search.engine.trial.task_data import task_data
from sp_search.errors import CheckpointError
from sp_search.export.folder import write_export
from sp_search.lm.zoo import load_lm
from sp_search.tasks.registry import get_task
from sp_search.units.manifest import load_corpus
from tests.export.winner import DEEP, train_and_export
from tests.tiny import no_scores, write_tiny_corpus

CPU = {"device": "cpu"}


@dataclass
class Own:
    """An export, the LM's folder that it names, and the cache that has this LM."""

    export: str
    lm: Path
    cache: Path

    def answer(self, **config: str) -> list[dict]:
        cache = {"cache": str(self.cache)}
        return mlflow.pyfunc.load_model(self.export, model_config=CPU | cache | config).predict(["1 2 3"])


@pytest.fixture
def own(tmp_path) -> Own:
    folder, cache = tmp_path / "lms" / "my", tmp_path / "cache"
    shutil.copytree(str(files("sp_search") / "demo" / "assets" / "lm"), folder)
    loaded = load_lm("my", folder, cache)
    corpus = load_corpus(write_tiny_corpus(tmp_path / "data"), loaded.dictionary, "data")
    data = task_data(corpus, loaded.dictionary, get_task("intent"), no_scores)
    winner = train_and_export(tmp_path, DEEP, lm=loaded.lm, data=data)
    document = winner.document | {
        "lm": {"name": "my", "fingerprint": loaded.lm.fingerprint, "path": str(folder)},
        "example": "1 2 3",
    }
    write_export(winner.folder, [winner.member], document, None)
    return Own(str(winner.folder), folder, cache)


def test_an_lm_of_ones_own_is_found_by_its_path_and_else_by_its_fingerprint_in_the_cache(own, tmp_path):
    by_path = own.answer()
    moved = own.lm.rename(tmp_path / "elsewhere")
    assert own.answer() == by_path
    assert own.answer(lm=str(moved), cache=str(tmp_path / "empty")) == by_path


def test_the_variable_stands_above_what_the_model_says(own, tmp_path, monkeypatch):
    monkeypatch.setenv("SP_SEARCH_LM", str(own.lm.rename(tmp_path / "elsewhere")))
    assert own.answer(cache=str(tmp_path / "empty"))[0]["id"] == "1"
    monkeypatch.setenv("SP_SEARCH_LM", "random:2x16x2")
    with pytest.raises(CheckpointError, match="expected the LM it was trained on"):
        own.answer()


def test_an_lm_that_is_nowhere_is_asked_for_by_name(own, tmp_path):
    own.lm.rename(tmp_path / "elsewhere")
    with pytest.raises(
        CheckpointError, match=r"^lm: expected the LM of this prompt .* the environment variable SP_SEARCH_LM"
    ):
        own.answer(cache=str(tmp_path / "empty"))


def test_the_requirements_and_an_example_of_an_input_are_in_the_folder(own):
    folder = Path(own.export)
    assert (folder / "requirements.txt").read_text() == "sp-search\ntorch\nmlflow==3.17.2\n"
    info = mlflow.models.get_model_info(own.export)
    assert info.signature.inputs.to_dict() == [{"type": "string", "required": True}]
    assert json.loads((folder / info.saved_input_example_info["serving_input_path"]).read_text()) == {
        "inputs": ["1 2 3"]
    }
