"""What is measured between two reports: nothing of the training changes by it."""

import pytest
import torch

from sp_search.engine.trial.checkpoint import read_state
from tests.engine.trials import BATCH, TRIALS, add_all
from tests.tiny import tiny_trainer


@pytest.mark.parametrize("source_cache", [0, 10**9])
def test_measuring_between_reports_changes_neither_the_training_nor_what_the_reports_say(source_cache, tmp_path):
    found = []
    for often in (False, True):
        trainer = tiny_trainer(valid_sample=5, chunk_updates=1, source_cache_bytes=source_cache)
        add_all(trainer, {1: TRIALS["deep infix"], 2: TRIALS["linear, uniform"]})
        for step in range(1, 6):
            reports = trainer.advance([1, 2], dict.fromkeys((1, 2), 6 * BATCH))
            assert reports == {}
            if often and step in (2, 4):
                between = trainer.interim([1, 2])
                assert [one.utterances_seen for one in between.values()] == [step * BATCH] * 2
        reports = trainer.advance([1, 2], dict.fromkeys((1, 2), 6 * BATCH))
        for report in reports.values():
            report.metrics.pop("utterances_per_s")
        for number in (1, 2):
            trainer.save(number, tmp_path / f"{often}-{number}")
        found.append((reports, [read_state(tmp_path / f"{often}-{n}")["tensors"] for n in (1, 2)]))
    assert found[0][0] == found[1][0]
    for plain, measured in zip(found[0][1], found[1][1], strict=True):
        assert all(torch.equal(plain[name], measured[name]) for name in plain)


def test_what_is_measured_between_reports_is_what_a_report_would_say_there():
    trainer = tiny_trainer(valid_sample=5, chunk_updates=1)
    add_all(trainer, {1: TRIALS["deep infix"]})
    said = trainer.advance([1], {1: BATCH})[1].metrics
    assert trainer.interim([1])[1].metrics == {name: v for name, v in said.items() if name.startswith("valid_")}
