import sys
from types import ModuleType, SimpleNamespace

import pytest

from sp_search.cli.verbs.search_progress import ProgressTeller, SearchProgress, notebook_display
from sp_search.types import Report
from tests.search.searches import settings

PROGRESS = SearchProgress("a<b", "searching", 8, 3, "valid accuracy", 0.5, 10.0, 2.0)


def test_a_callback_is_told_phase_trials_and_the_best_value(tmp_path):
    told = []
    teller = ProgressTeller(settings(tmp_path, trials=8), told.append, ended_before=2)
    teller.study_opened({})
    teller.trial_started(2, {}, {"role": "search"})
    teller.reported(2, Report(64, {"valid_accuracy": 0.5, "utterances_per_s": 10.0}))
    teller.reported(2, Report(128, {"valid_accuracy": 0.25}))
    teller.trial_finished(2, "COMPLETE", "", {})
    teller.copied(3, "COMPLETE")
    teller.trial_started(1_000_002, {}, {"role": "confirm"})
    teller.trial_finished(1_000_002, "COMPLETE", "", {})
    teller.study_finished({})
    assert [(one.phase, one.ended, one.best) for one in told] == [
        ("starting", 2, None),
        ("searching", 2, None),
        ("searching", 2, 0.5),
        ("searching", 2, 0.5),
        ("searching", 3, 0.5),
        ("searching", 4, 0.5),
        ("confirming the best", 4, 0.5),
        ("confirming the best", 4, 0.5),
        ("ended", 4, 0.5),
    ]
    assert {(one.trials, one.metric) for one in told} == {(8, "valid accuracy")}
    assert told[-1].utterances_per_s == 10.0


def test_progress_is_a_line_of_text_and_a_bar_of_html():
    line = "a<b: searching, 3 of 8 trials ended, best valid accuracy 0.5000, 10 utterances/s, 2 s"
    assert str(PROGRESS) == line
    assert PROGRESS._repr_html_() == f'<progress value="3" max="8"></progress> {line.replace("<", "&lt;")}'


@pytest.fixture
def notebook(monkeypatch):
    """Stands for IPython in a notebook; what was drawn, and drawn anew."""
    drawn = []

    def display(shown, display_id):
        drawn.append(shown)
        return SimpleNamespace(update=drawn.append)

    ipython, module = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return SimpleNamespace(drawn=drawn, ipython=ipython)


def test_a_notebook_has_one_bar_that_is_drawn_anew(notebook):
    draw = notebook_display()
    draw(PROGRESS)
    draw(PROGRESS)
    assert notebook.drawn == [PROGRESS, PROGRESS]


def test_outside_of_a_notebook_nothing_is_drawn(notebook, monkeypatch):
    notebook.ipython.get_ipython = lambda: SimpleNamespace()
    assert notebook_display() is None
    monkeypatch.delitem(sys.modules, "IPython")
    assert notebook_display() is None
