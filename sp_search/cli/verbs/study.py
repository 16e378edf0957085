"""`sp_search.load_study`: a study as a plain record, with a table of its trials; what a search returns too."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas

from sp_search.errors import StudyError
from sp_search.files.paths import is_there, user_path
from sp_search.report.comparison import read_summary
from sp_search.search.study import study as studies
from sp_search.search.study.records import StudyRecord, deciding_metric, study_record


@dataclass(frozen=True)
class Study:
    """A study: its trials, and what it came to once its search has ended."""

    name: str
    folder: Path
    task: str
    metric: str  # that decides, as accuracy
    trials: pandas.DataFrame  # a row for each trial; see `load_study`
    summary: Mapping[str, Any] | None  # its summary.json; None before its search has ended

    @property
    def best(self) -> Path:
        """The exported folder of what answers best, for `sp_search.load`.

        Raises:
            StudyError: the search has not ended.
        """
        return self._exported("best")

    @property
    def single(self) -> Path:
        """The exported folder of the best prompt alone, for `sp_search.load`.

        Raises:
            StudyError: the search has not ended.
        """
        return self._exported("single")

    @property
    def test(self) -> Mapping[str, float]:
        """The metrics of the winner on the test split.

        Raises:
            StudyError: the search has not ended.
        """
        found: Mapping[str, float] = self._ended()["best"]["test"]
        return found

    @property
    def valid(self) -> Mapping[str, float]:
        """The metrics of the winner on the valid split.

        Raises:
            StudyError: the search has not ended.
        """
        found: Mapping[str, float] = self._ended()["best"]["valid"]
        return found

    def __repr__(self) -> str:
        return f"<Study {self.name}: {len(self.trials)} trials, {self._told()}; {self.folder}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the result, and the ten best trials."""
        shown = self.trials.sort_values(self.metric, ascending=False).head(10)
        title = f"<p><b>{html.escape(self.name)}</b>: {html.escape(self._told())}</p>"
        return title + str(shown.to_html(index=False, na_rep="", max_cols=12))

    def _told(self) -> str:
        name = self.metric.replace("_", " ")
        if self.summary is None:
            best = self.trials[self.metric].max() if len(self.trials) else float("nan")
            return f"not ended, best valid {name} {best:.4f}"
        low, high = self.summary["best"]["intervals"][self.metric]
        return f"test {name} {self.test[self.metric]:.4f} ({low:.4f} to {high:.4f})"

    def _exported(self, name: str) -> Path:
        self._ended()
        return self.folder / name

    def _ended(self) -> Mapping[str, Any]:
        if self.summary is None:
            raise StudyError(
                f"study {self.name}: expected one whose search has ended, got one that has not; run the same search "
                f"again to go on with it"
            )
        return self.summary


def load_study(
    study: str | os.PathLike[str], *, runs: str | os.PathLike[str] = "runs", storage: str | None = None
) -> Study:
    """Read a study, also one that is being searched.

    Its `trials` is a table with a row for each trial: `number`, `state` (complete, pruned, fail, running, waiting), a
    column for the metric that decides (its best value on valid so far, as `accuracy`), `utterances` (training
    utterances seen), `reason` (why it ended early), and `params_NAME` for each searched parameter.

    Args:
        study: its name, or its folder.
        runs: the folder of studies, where `study` is a name.
        storage: an Optuna database URL, where the study is not in its folder.

    Raises:
        StudyError: there is no such study, or it can't be read.
    """
    given = user_path(os.fspath(study), "study")
    is_folder = is_there(given, StudyError) and given.is_dir()
    folder = (given if is_folder else user_path(os.fspath(runs), "runs") / given).absolute()
    path = folder / "summary.json"
    is_summed_up = is_there(path, StudyError)
    found = studies.load_study(folder.name, storage, folder)
    task, metric = found.user_attrs["identity"]["task"], deciding_metric(found)
    summary: Mapping[str, Any] | None = None
    if is_summed_up:
        summary, fault = read_summary(path)
        if fault:
            raise StudyError(f"{fault}; run the same search again to write it anew")
    record = study_record(found, metric, folder.name)
    return Study(folder.name, folder, task, metric, table(record), summary)


def table(record: StudyRecord) -> pandas.DataFrame:
    """The trials of a study, a row each; see `load_study` for its columns."""
    names = list(dict.fromkeys(name for trial in record.trials for name in trial.params))
    rows = [
        {
            "number": trial.number,
            "state": trial.state,
            record.metric: max(trial.reports.values(), default=float("nan")),
            "utterances": max(trial.reports, default=0),
            "reason": trial.reason,
            **{f"params_{name}": trial.params.get(name) for name in names},
        }
        for trial in record.trials
    ]
    columns = ["number", "state", record.metric, "utterances", "reason", *(f"params_{name}" for name in names)]
    return pandas.DataFrame(rows, columns=columns)
