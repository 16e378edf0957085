import pytest

from sp_search.cli.wiring import rivals as wiring
from sp_search.cli.wiring.rivals import KEPT, rivals_of_study
from sp_search.engine.trial.task_data import task_data
from sp_search.metrics.accuracy import hits
from sp_search.types import RIVAL_FILE
from tests.tiny import corpus_of, no_scores, tiny_data, tiny_dictionary, tiny_split, tiny_texts


@pytest.fixture
def fits(monkeypatch):
    """How often rivals were fitted."""
    fitted = []
    fit = wiring.fit_rivals
    monkeypatch.setattr(wiring, "fit_rivals", lambda *given: (fitted.append(given[0].name), fit(*given))[1])
    return fitted


def test_rivals_are_fitted_once_and_read_by_the_next_start(tmp_path, fits):
    data, told = tiny_data(), []
    first = rivals_of_study(tmp_path, data, told.append)
    written = (tmp_path / KEPT / RIVAL_FILE).read_bytes()
    again = rivals_of_study(tmp_path, data, told.append)
    assert fits == ["intent"]
    assert (tmp_path / KEPT / RIVAL_FILE).read_bytes() == written
    test = data.corpus.splits["test"]
    assert [rival.answers(test) for rival in again] == [rival.answers(test) for rival in first]
    valid = data.corpus.splits["valid"]
    values = ", ".join(f"{r.name} {hits(r.answers(valid), valid.answers).value:.4f}" for r in first)
    assert told[0].startswith(f"rivals, valid accuracy: {values}; fitted in ")
    assert told[1] == f"rivals, valid accuracy: {values}; read from the study"


def test_those_of_another_corpus_or_task_are_fitted_anew(tmp_path, fits):
    data = tiny_data()
    rivals_of_study(tmp_path, data, lambda line: None)
    splits = dict(data.corpus.splits) | {"valid": tiny_split("valid", 30, seed=7)}
    other = task_data(corpus_of(splits), tiny_dictionary(), data.task, no_scores)
    rivals_of_study(tmp_path, other, lambda line: None)
    rivals_of_study(tmp_path, tiny_texts(), lambda line: None)
    rivals_of_study(tmp_path, tiny_texts(), lambda line: None)
    assert fits == ["intent", "intent", "asr"]


def test_a_damaged_file_is_said_and_fitted_again(tmp_path, fits):
    data, told = tiny_data(), []
    rivals_of_study(tmp_path, data, told.append)
    whole = (tmp_path / KEPT / RIVAL_FILE).read_bytes()
    (tmp_path / KEPT / RIVAL_FILE).write_bytes(whole[:-9])
    rivals_of_study(tmp_path, data, told.append)
    rivals_of_study(tmp_path, data, told.append)
    assert len(fits) == 2
    assert "rival.safetensors: expected saved rivals, got" in told[1]
    assert told[1].endswith("; they are fitted again")
    assert told[3].endswith("; read from the study")
