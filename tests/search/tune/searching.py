"""A searcher on a study in a folder, for tests that play Tune's part."""

from sp_search.search.base.callbacks import Observers
from sp_search.search.base.protocol import INTERIM, METRIC, TIME
from sp_search.search.study.trials import past_reports
from sp_search.search.tune.optuna_searcher import StudySearcher
from sp_search.search.tune.scheduler import ReplayedScheduler, ray_scheduler
from tests.search.searches import lr_space, opened_study, settings


class Heard:
    """An observer that remembers."""

    def __init__(self):
        self.events = []
        self.last = {}  # by trial, what its end was told with
        self.params = {}  # by trial

    def trial_started(self, number, params, tags):
        self.params[number] = dict(params)
        self.events.append(("started", number, dict(tags)))

    def measured(self, number, report):
        self.events.append(("measured", number, report.utterances_seen, dict(report.metrics)))

    def reported(self, number, report):
        self.events.append(("reported", number, report.utterances_seen, dict(report.metrics)))

    def copied(self, number, state):
        self.events.append(("copied", number, state))

    def artifact(self, number, path, artifact_path):
        self.events.append(("artifact", number, path, artifact_path))

    def trial_finished(self, number, state, reason, metrics):
        self.events.append(("finished", number, state, reason))
        self.last[number] = metrics


class Search:
    """A searcher on a study in a folder, with what it tells and keeps."""

    def __init__(self, runs, space=None, keep=None, **changes):
        self.settings = settings(runs, **changes)
        opened = opened_study(runs)
        self.study = opened.study
        self.heard = Heard()
        self.kept = []
        inner = ray_scheduler(self.settings.pruner, budget=1600, grace=100, reduction_factor=4)
        asha = ReplayedScheduler(inner, budget=1600, past=past_reports(self.study))
        self.searcher = StudySearcher(
            opened, space or lr_space(), self.settings, asha, Observers([self.heard]), keep or self.keep
        )

    def keep(self, finished):
        self.kept.append(finished)
        return finished.member.state / "prompt"

    def report(self, tune_id, seen, value, **more):
        self.searcher.on_trial_result(tune_id, {TIME: seen, METRIC: value, self.settings.metric: value, **more})

    def measure(self, tune_id, seen, value):
        self.searcher.on_trial_result(
            tune_id, {TIME: seen, METRIC: value, self.settings.metric: value, INTERIM: True}
        )

    def end(self, tune_id, seen=None, value=None, **more):
        result = None if seen is None else {TIME: seen, METRIC: value, self.settings.metric: value, **more}
        self.searcher.on_trial_complete(tune_id, result)

    def fail(self, tune_id, error=None):
        self.searcher.on_trial_failed(tune_id, error or RuntimeError("no\n memory"))

    def run(self, tune_id, value=0.5):
        config = self.searcher.suggest(tune_id)
        self.end(tune_id, 1600, value)
        return config


def state_of(search, number):
    return search.study.trials[number].state


def save_state(search, number):
    folder = search.settings.trial_folder(number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "state.pt").write_text("")
