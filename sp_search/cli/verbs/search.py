"""`sp_search.search`: a search from Python, through the same function as the command."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial

from sp_search.cli.commands.search import Watch, search_study
from sp_search.cli.settings.compose import load_settings
from sp_search.cli.verbs.search_progress import ProgressTeller, SearchProgress, notebook_display
from sp_search.cli.verbs.study import Study, load_study
from sp_search.cli.wiring.watching import left_before, progress_of
from sp_search.config import Settings
from sp_search.engine.trial.task_data import TaskData
from sp_search.message import say
from sp_search.search.base.callbacks import Observer
from sp_search.search.base.settings import SearchSettings
from sp_search.search.study.records import StudyRecord
from sp_search.signals import stoppable

_LOG = logging.getLogger("sp_search")
_ONE_AT_A_TIME = threading.Lock()
Place = str | os.PathLike[str]


def search(
    *,
    task: str = "intent",
    lm: Place = "demo",
    data: Place = "demo",
    method: str = "prompt",
    space: Place | Mapping[str, object] | None = None,
    trials: int | None = None,
    study: str | None = None,
    runs: Place = "runs",
    settings: Mapping[str, object] | None = None,
    progress: bool | Callable[[SearchProgress], object] = True,
) -> Study:
    """Search prompts over a frozen unit LM, or go on with an earlier search; as `sp-search search` does.

    It takes minutes to hours, and may run in any thread, but only once at a time in a process. Interrupt it, and the
    same call goes on from there.

    Args:
        task: intent, keyword, label, asr or slots.
        lm: the unit LM: `demo`, a published one's name, or a path.
        data: `demo`, or the folder of a labelled corpus in units.
        method: prompt, finetune, probe, ngram or retrieval.
        space: what is searched: the name of a space, a YAML file, or the ranges themselves, as
            {"lr": {"float": [1e-3, 1e-1], "log": True}, "depth": "layers"}. None takes that of the task.
        trials: settings to try in total, over all calls with this study.
        study: its name; None makes one of task, LM and data.
        runs: the folder of studies.
        settings: any other setting by its key: {"schedule.budget": 24000, "cluster.slots": 2}.
        progress: True shows it (a bar in a notebook, a table on a terminal), False shows nothing; a function is
            called with a `SearchProgress` at each event.

    Returns:
        The study: `best` is the folder of the winner, `test` what it comes to, `trials` the table of trials.

    Raises:
        UserError: a setting, the LM or the corpus is wrong, or the study is another one.
    """
    words = {"task": task, "lm": lm, "data": data, "method": method, "runs": runs, "trials": trials, "study": study}
    own_space = {"space": space} if isinstance(space, Mapping) else {}
    named = {} if isinstance(space, Mapping) else {"space": space}
    chosen = {key: value for key, value in {**words, **named}.items() if value is not None}
    with _ONE_AT_A_TIME, stoppable():
        config = load_settings([*as_words(chosen | dict(settings or {}))], Settings, own_space)
        watch, tell = _watch(progress, config.schedule.valid_sample)
        path = search_study(config, watch, tell)
        return load_study(path.parent, storage=config.cluster.storage)


def as_words(settings: Mapping[str, object]) -> list[str]:
    """Settings as the words of a command: `schedule.trials=5`, `space.side=["top", "bottom"]`, `lm=null`."""
    return [f"{key}={_word(value)}" for key, value in settings.items()]


def _word(value: object) -> str:
    """A value behind the `=`: a text as it is, as a shell hands it over; all else in Hydra's grammar."""
    return os.fspath(value) if isinstance(value, str | os.PathLike) else _in_grammar(value)


def _in_grammar(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_in_grammar(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_in_grammar, value)) + "]"
    if isinstance(value, str | os.PathLike):
        return "'" + str(value).replace("'", "\\'") + "'"
    return json.dumps(value)


def _watch(
    progress: bool | Callable[[SearchProgress], object], valid_sample: int
) -> tuple[Watch, Callable[[str], None]]:
    """Who watches a search, and who takes the lines about it."""
    callback = progress if callable(progress) else notebook_display() if progress else _unheard
    if callback is None:
        return partial(_on_a_terminal, valid_sample), say
    return partial(_told, callback), _LOG.info


def _on_a_terminal(valid_sample: int, settings: SearchSettings, before: StudyRecord, data: TaskData) -> Observer:
    return progress_of(settings, before, data, valid_sample, log="text", quiet=False)


def _told(
    callback: Callable[[SearchProgress], object], settings: SearchSettings, before: StudyRecord, _: TaskData
) -> Observer:
    ended = sum(left_before(before).ended.values())
    best = max((value for trial in before.trials for value in trial.reports.values()), default=None)
    return ProgressTeller(settings, callback, ended, best)


def _unheard(progress: SearchProgress) -> None:
    """Show nothing."""
