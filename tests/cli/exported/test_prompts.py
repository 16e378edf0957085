import shutil

import pytest

from sp_search.cli.exported.prompts import LMChoice, Prompts, exported_folders
from sp_search.engine.prompted import source_cache
from sp_search.errors import ConfigError
from tests.export.winner import train_and_export
from tests.tiny import UNITS
from tests.units.speech import quantizer

INFIX = dict(prompt_length=3, depth=2, lr=0.03, position="infix", verbalizer="random")
LINES = [" ".join(str((start + at) % UNITS) for at in range(2 + start % 9)) for start in range(50)]


@pytest.fixture(scope="module")
def folders(exported, tmp_path_factory):
    """A prefix in all layers, an infix, and a copy of the infix."""
    made = exported.winner
    to = tmp_path_factory.mktemp("infix")
    infix = train_and_export(to, INFIX, quantizer(units=UNITS), made.lm, made.data).folder
    return [exported.folder, infix, shutil.copytree(infix, to / "again")]


@pytest.fixture
def prompts(exported, tmp_path):
    choice = LMChoice(exported.lm, None, tmp_path)
    return lambda folders: Prompts(folders, choice, device="cpu", dtype="float32")


def test_several_prompts_answer_as_each_does_alone(prompts, folders, monkeypatch):
    monkeypatch.setattr("sp_search.cli.exported.prompts.TOGETHER", 40)
    together = list(prompts(folders).of_lines(LINES, "here"))
    assert len(together) == len(LINES)
    for at, folder in enumerate(folders):
        for answers, (alone,) in zip(together, prompts([folder]).of_lines(LINES, "here"), strict=True):
            assert (answers[at].id, answers[at].labels) == (alone.id, alone.labels)
            assert answers[at].scores == pytest.approx(alone.scores, abs=1e-5)


def test_two_prompts_run_the_source_through_the_lm_once(prompts, folders, monkeypatch):
    run, rows = source_cache.run_source, []

    def counted(weights, block, *more):
        rows.append(sum(block.columns))
        return run(weights, block, *more)

    monkeypatch.setattr(source_cache, "run_source", counted)
    counts = []
    for chosen in (folders[1:2], folders[1:]):
        rows.clear()
        list(prompts(chosen).of_lines(LINES, "here"))
        counts.append(sum(rows))
    assert counts[0] == counts[1] > 0


def test_folders_are_named_by_commas_and_one_may_have_commas_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    long = ["a" * 200, "b" * 200]
    assert exported_folders(",".join(long)) == [tmp_path / name for name in long]
    (tmp_path / "a,b").mkdir()
    assert exported_folders("a,b") == [tmp_path / "a,b"]
    assert exported_folders("a,c") == [tmp_path / "a", tmp_path / "c"]
    with pytest.raises(ConfigError, match=r"^prompt: expected a path, got an empty text$"):
        exported_folders("a,")


def test_a_folder_that_may_not_be_looked_at_is_refused_in_one_line(tmp_path, locked):
    locked(tmp_path)
    with pytest.raises(ConfigError, match=r"a: expected a path that can be looked at, got Permission denied$"):
        exported_folders(f"{tmp_path}/a")
