"""Who shows a search to people: the display, told what an earlier start has left."""

from __future__ import annotations

from sp_search.cli.wiring.finished_study import SearchCommand
from sp_search.engine.trial.task_data import TaskData
from sp_search.search.base.callbacks import Observer
from sp_search.search.base.settings import SearchSettings
from sp_search.search.study.records import StudyRecord
from sp_search.search.ui.progress import Log, Progress
from sp_search.search.ui.state import Before

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
    full = [(trial.last[1], trial.number) for trial in record.trials if trial.state == "complete" and trial.last]
    value, number = max(full, default=(None, None))
    return Before(ended, again, value, "" if number is None else f"trial {number}")
