"""Search for the best prompt: train many on one frozen LM, train the best settings again, and test the winner.

The winner is in `runs/STUDY/best`; `sp-search export` copies it. An interrupted search goes on with the same command.
Progress is on stderr: one screen on a terminal, elsewhere a line for each report. log=json prints a JSON object for
each, quiet=true prints warnings alone. The last line on stdout is the path of the summary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from sp_search.cli.settings.reads import OF_SEARCH
from sp_search.cli.wiring.finished_study import SearchCommand, finished_summary, leave_mark
from sp_search.cli.wiring.outputs import Outputs
from sp_search.cli.wiring.places import check_places
from sp_search.cli.wiring.planned import told_plan
from sp_search.cli.wiring.ray_settings import joined
from sp_search.cli.wiring.rivals import rivals_as_members, rivals_of_study
from sp_search.cli.wiring.search_setup import (
    PreparedSearch,
    prepare_search,
    resolved_dtype,
    searches_rivals,
)
from sp_search.cli.wiring.watching import displayed, left_before, tracker_of
from sp_search.config import Settings
from sp_search.engine.trial.task_data import TaskData
from sp_search.message import say
from sp_search.rivals.trainer import RivalTrainer
from sp_search.search.base.callbacks import Observer
from sp_search.search.base.protocol import VALID
from sp_search.search.base.settings import SearchSettings
from sp_search.search.run.finished import write_summary
from sp_search.search.run.search import is_finished, run_search
from sp_search.search.study.contract import contract_fingerprint
from sp_search.search.study.records import StudyRecord, known_trials, study_record
from sp_search.search.study.study import OpenStudy, open_study
from sp_search.search.ui.heartbeat import Heartbeat
from sp_search.search.workers.trainer import TrainerFactory

READS = OF_SEARCH
EXAMPLE = "sp-search search task=intent lm=lms/my data=units/my trials=32"

Watch = Callable[[SearchSettings, StudyRecord, TaskData], Observer]
"""Makes who watches a search, from its settings, what earlier starts have left of its study, and the corpus."""


def run(config: SearchCommand) -> int:
    """Search, and print the path of the summary."""
    path = search_study(config, partial(displayed, config))
    leave_mark(config)
    print(path)  # after all output of Ray
    return 0


def search_study(config: Settings, watch: Watch, tell: Callable[[str], None] = say) -> Path:
    """Search to the end, or go on with a search. The command and `sp_search.search` both stand on this.

    Args:
        config: of the search.
        watch: makes who watches it.
        tell: takes a line on the corpus, the rivals, or what is left out.

    Returns:
        The path of the study's summary.

    Raises:
        UserError: as `check_places`, `prepare_search` and `run_search`.
        KeyboardInterrupt: interrupted; the same search again goes on from there.
    """
    check_places(config)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # this process only sends requests and waits
    try:
        with joined(config) as sized:
            return _search(sized, watch, tell, follows=config.cluster.workers is None)
    finally:
        torch.set_num_threads(threads)


def _search(config: Settings, watch: Watch, tell: Callable[[str], None], *, follows: bool) -> Path:
    """`follows` says whether the workers become as many as fit on the cluster, when nodes join it."""
    prepared = prepare_search(config, tell)
    if follows:
        prepared = replace(prepared, settings=replace(prepared.settings, most_workers=None))
    settings, identity = prepared.settings, prepared.identity
    contract = prepared.contract(config) | {"dtype": resolved_dtype(config)}
    opened = open_study(
        config.study, config.cluster.storage, settings.folder, identity, contract, config.engine.dtype
    )
    try:
        if is_finished(opened.study, settings) and (done := finished_summary(settings.folder)) is not None:
            tell(f"study {config.study} is finished; raise trials= to go on with it")
            return done
        return _run(config, prepared, opened, watch, tell)
    finally:
        opened.close()


def _run(
    config: Settings, prepared: PreparedSearch, opened: OpenStudy, watch: Watch, tell: Callable[[str], None]
) -> Path:
    for line in prepared.corpus_lines:
        tell(line)
    data = prepared.data
    settings = replace(prepared.settings, begun_as=contract_fingerprint(opened.begun_as))
    recipe = replace(prepared.recipe, dtype=opened.begun_as["dtype"])
    rivals = rivals_of_study(settings.folder, data, tell)
    before = study_record(opened.study, settings.metric.removeprefix(VALID))
    observers: list[Observer] = [watch(settings, before, data), Heartbeat(settings, left_before(before))]
    known = known_trials(opened.study, prepared.space, settings.metric)
    rivals_alone = searches_rivals(prepared.space)
    parts = None if rivals_alone else recipe.parts(prepared.lm, data)
    planned = told_plan(config, prepared, parts, tell, is_new=not known)
    if (tracker := tracker_of(config, prepared, known, planned)) is not None:
        observers.append(tracker)
    outputs = Outputs(config, prepared, recipe, rivals, opened)
    make: TrainerFactory = partial(RivalTrainer, data.task) if rivals_alone else recipe
    shared = data.corpus if parts is None else parts
    members = [] if rivals_alone else rivals_as_members(rivals, settings.folder, data)
    summary = run_search(
        settings, prepared.identity, opened, prepared.space, make, observers, outputs.keep, outputs.conclude, shared,
        members,
    )  # fmt: skip
    summary["mlflow_run_id"] = tracker.run_id if tracker is not None else None
    return write_summary(settings.folder, summary)
