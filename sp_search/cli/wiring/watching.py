"""Who is told of a search: the display, which knows what an earlier start has left, and the tracker for MLflow."""

from __future__ import annotations

from collections.abc import Sequence

from sp_search.cli.wiring.finished_study import SearchCommand
from sp_search.cli.wiring.planned import Planned, lines
from sp_search.cli.wiring.search_setup import PreparedSearch
from sp_search.config import Settings
from sp_search.engine.trial.task_data import TaskData
from sp_search.files.write import write_text
from sp_search.search.base.callbacks import Observer
from sp_search.search.base.settings import SearchSettings
from sp_search.search.cluster.node_metrics import NodeMetrics
from sp_search.search.study.records import StudyRecord
from sp_search.search.ui.progress import Log, Progress
from sp_search.search.ui.state import Before
from sp_search.tracking.api.catch_up import KnownTrial
from sp_search.tracking.api.tracker import MlflowTracker
from sp_search.tracking.base.uri import default_uri

SAMPLE_S = 10.0
"""Seconds between two samples of the machine's metrics, MLflow's own number."""
PLAN = "plan.txt"
"""In a tracked study's folder and among the files of its run: what the last start was to do."""
STATES = {"complete": "complete", "pruned": "pruned", "fail": "failed"}


def displayed(config: SearchCommand, settings: SearchSettings, before: StudyRecord, data: TaskData) -> Observer:
    """The display of the command."""
    sample = config.schedule.valid_sample
    return progress_of(settings, before, data, sample, log=config.log, quiet=config.quiet)


def progress_of(
    settings: SearchSettings, record: StudyRecord, data: TaskData, valid_sample: int, *, log: Log, quiet: bool
) -> Progress:
    """The display of a search.

    Args:
        settings: of the search.
        record: of its study, before this start.
        data: the corpus and its task.
        valid_sample: utterances of valid that a trial is measured on before its full budget; 0 = all.
        log: JSON lines for a program, or a screen or lines for people.
        quiet: show nothing.
    """
    whole = len(data.corpus.splits["valid"])
    is_share = data.decides == "accuracy"  # right answers of all utterances, so that its interval follows from both
    valid = (min(valid_sample or whole, whole), whole) if is_share else None
    return Progress(settings, log=log, quiet=quiet, before=left_before(record), valid=valid)


def left_before(record: StudyRecord) -> Before:
    """What an earlier start of a study has left."""
    ended: dict[str, int] = {}
    for trial in record.trials:
        if trial.state in STATES:
            ended[STATES[trial.state]] = ended.get(STATES[trial.state], 0) + 1
    again = {trial.number: trial.last[0] if trial.last else 0 for trial in record.trials if trial.state == "running"}
    last = [(trial.last[1], trial.last[0], trial.number) for trial in record.trials if trial.last]
    best = [(value, f"trial {number}", seen) for value, seen, number in sorted(last)[-1:]]
    return Before(ended, again, *best)


def tracker_of(
    config: Settings, prepared: PreparedSearch, known: Sequence[KnownTrial], planned: Planned
) -> MlflowTracker | None:
    """The tracker of a search, with the plan as its first file; None where the settings want none.

    Args:
        config: of the search.
        prepared: the same, checked.
        known: the trials that the study has.
        planned: what this start is to do.

    Raises:
        ConfigError: MLflow has no such kind of store.
        StudyError: another search is running on this study.
    """
    if not config.tracking.enabled:
        return None
    settings = prepared.settings
    tracker = MlflowTracker(
        settings.folder,
        config.tracking.uri or default_uri(config.runs),
        experiment=config.tracking.experiment,
        objective=settings.metric,
        corpus=prepared.data.corpus,
        sample_s=SAMPLE_S,
        others=None if config.cluster.address is None else NodeMetrics().sample,
        known=known,
    )
    write_text(settings.folder / PLAN, "\n".join(lines(planned)) + "\n")
    tracker.artifact(None, settings.folder / PLAN)
    return tracker
