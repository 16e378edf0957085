from dataclasses import replace

import pytest

from sp_search.cli.wiring import rivals as wiring
from sp_search.cli.wiring.rivals import KEPT, rivals_as_members, rivals_of_study
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


def test_where_answers_are_written_the_strongest_rival_recalls_them(tmp_path):
    data = tiny_texts()
    rivals = rivals_of_study(tmp_path, data, lambda line: None)
    (member,) = rivals_as_members(rivals, tmp_path, data)
    assert member.recalls
    assert member.member.params == rivals[0].settings.params()
    assert member.log_probs["test"].shape == (len(data.corpus.splits["test"]), len(data.space.answers))


def test_where_answers_are_chosen_every_rival_may_be_a_member(tmp_path):
    data = tiny_data()
    rivals = rivals_of_study(tmp_path, data, lambda line: None)
    members = rivals_as_members(rivals, tmp_path, data)
    assert [one.member.params["method"] for one in members] == [rival.settings.method for rival in rivals]
    assert {one.member.params["method"] for one in members} == {"ngram", "retrieval"}
    assert not any(one.recalls for one in members)


def test_who_knows_none_of_valids_written_answers_is_not_asked(tmp_path):
    data = tiny_texts()
    rivals = rivals_of_study(tmp_path, data, lambda line: None)
    valid = data.corpus.splits["valid"]
    unheard = replace(valid, answers=tuple((*answer, "again") for answer in valid.answers))
    apart = replace(data, corpus=replace(data.corpus, splits={**data.corpus.splits, "valid": unheard}))
    assert rivals_as_members(rivals, tmp_path, apart) == []
