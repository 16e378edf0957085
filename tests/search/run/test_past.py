"""A search that goes on asks a scheduler that has seen what earlier starts reported."""

from sp_search.search.run.limits import SearchLimits, Spent
from sp_search.search.run.search import scheduler_of
from sp_search.search.study.trials import REPORTS
from tests.search.searches import new_study, settings


def test_reports_of_earlier_starts_are_in_the_rungs(tmp_path):
    of_search, study = settings(tmp_path), new_study(tmp_path)
    for number, value in enumerate((0.9, 0.8, 0.7, 0.1)):
        trial = study.ask()
        trial.set_user_attr(REPORTS, {str(of_search.grace): [number, 0]})
        trial.report(value, of_search.grace)
    scheduler = scheduler_of(of_search, study, SearchLimits(of_search, Spent(lambda: 0.0)))
    assert not scheduler.stopped(0)
    assert scheduler.stopped(3)
