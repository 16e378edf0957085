"""`sp-search ui`: what it hands to MLflow's UI."""

from sp_search.cli.commands import ui
from sp_search.tracking.api.ui import UiCommand
from tests.cli.shell import sp_search


def test_the_trials_of_an_experiment_are_sorted_by_the_metric_of_the_task(tmp_path, monkeypatch):
    seen = {}

    def told(uri, host, port, **shown):
        seen.update(shown)
        return UiCommand((), {}, "", "shown")

    monkeypatch.setattr(ui, "ui_command", told)
    done = sp_search(tmp_path, "ui", "task=slots", "tracking.experiment=mine")
    assert (done.stdout, done.stderr) == ("shown\n", "")
    assert seen == {"experiment": "mine", "metric": "valid_slot_type_f1"}
