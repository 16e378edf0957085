"""What timed steps say of the settings that may win."""

import pytest

from sp_search.cli.settings.compose import load_settings
from sp_search.cli.wiring.search_setup import prepare_search
from sp_search.cli.wiring.speed import measured
from sp_search.config import Settings
from tests.tiny import write_tiny_corpus

DEEP = "{position: prefix, prompt_length: 100, depth: layers, score_separator: false}"
SHALLOW = "{position: infix, prompt_length: 5, depth: layers/2, score_separator: false}"


@pytest.mark.parametrize(("first", "slower"), [((SHALLOW, DEEP), 1), ((DEEP, SHALLOW), 0)])
def test_a_setting_that_trains_more_slowly_weighs_more(tmp_path, first, slower):
    write_tiny_corpus(tmp_path / "data")
    words = ["lm=random:4x128x2", f"data={tmp_path}/data", f"cache={tmp_path}", f"runs={tmp_path}/runs", "study=mine"]
    words += ["engine.device=cpu", "engine.threads=1", "cluster.workers=1", "cluster.slots=2"]
    words += [f"schedule.first_trials=[{', '.join(first)}]", "schedule.batch_size=8"]
    prepared = prepare_search(load_settings(words, Settings))
    parts = prepared.recipe.parts(prepared.lm, prepared.data)
    weights = measured(prepared.recipe, parts, prepared.settings, prepared.space).speed.weights
    assert len(weights) == 2
    assert sum(weights) == pytest.approx(2)
    assert weights[slower] > weights[1 - slower]
