"""What the tests of the command line and of the Python verbs share."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from sp_search.engine.trial.task_data import task_data
from sp_search.lm.zoo import load_lm
from sp_search.tasks.registry import get_task
from sp_search.units.manifest import load_corpus
from tests.export.winner import DEEP, train_and_export
from tests.tiny import UNITS, no_scores, write_tiny_corpus
from tests.units.speech import quantizer

LM = "random:2x16x2"


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> SimpleNamespace:
    """A corpus in `data`, a prompt that was trained on it, and what trained it."""
    folder: Path = tmp_path_factory.mktemp("exported")
    write_tiny_corpus(folder / "data")
    loaded = load_lm(LM, None, folder / "cache")
    corpus = load_corpus(folder / "data", loaded.dictionary, "data")
    data = task_data(corpus, loaded.dictionary, get_task("intent"), no_scores)
    winner = train_and_export(folder, DEEP, quantizer(units=UNITS), loaded.lm, data)
    return SimpleNamespace(folder=winner.folder, data=folder / "data", winner=winner, lm=LM)


@pytest.fixture
def space(tmp_path) -> str:
    """The word that sets a search space of a test's own; its path has a blank."""
    path = tmp_path / "my space.yaml"
    path.write_text("lr: {low: 1.0e-4, high: 0.06, log: true}\ndepth: {low: 1, high: 6}\n")
    return f"space={path}"
