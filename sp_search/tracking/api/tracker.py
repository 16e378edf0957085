"""Keeps the events of a search for MLflow: every method only appends to the study's spool.

    tracker = MlflowTracker(runs_dir / study, tracking_uri)
    tracker.study_opened({"study": ..., "task": ..., "data_fingerprint": ..., "lm": ..., ...})
    tracker.trial_started(8, params, {"seed": 0});  tracker.reported(8, report);  tracker.trial_finished(8, "PRUNED")
    tracker.study_finished(summary);  tracker.close(timeout_s=10)

A method takes tens of microseconds (for an artifact, the time to copy it). It raises if the caller made a mistake,
never because of MLflow. A full disk is waited for.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sp_search.errors import StudyError
from sp_search.tracking.api.aggregates import StudyAggregates
from sp_search.tracking.api.catch_up import KnownTrial, lost
from sp_search.tracking.api.system_metrics import Others, SystemSampler
from sp_search.tracking.base.uri import checked_uri
from sp_search.tracking.spool.jsonl_log import plain
from sp_search.tracking.spool.spool import TENSORS, Spool, open_writer
from sp_search.tracking.store.mlflow_store import connect as connect_to_mlflow
from sp_search.tracking.store.model import MODEL_NAME, winner_of
from sp_search.tracking.store.note import finished_note, opened_note
from sp_search.tracking.store.run_store import RunStore
from sp_search.tracking.store.schema import (
    IDENTITY,
    NAME_TAG,
    NOTE_TAG,
    PREFIX,
    SETTING,
    WINNER,
    datasets_of,
    ended_name,
    ranked_names,
    study_tags,
    summary_points,
    table_tags,
    trial_name,
    trial_tags,
)
from sp_search.tracking.upload.sync import spool_fault
from sp_search.tracking.upload.uploader import Uploader
from sp_search.types import Corpus, ParamValue, Report


class MlflowTracker:
    """Follows one search for MLflow.

    Args:
        study_dir: `runs/<study>`; the spool lies below it.
        tracking_uri: SQLite file, server or database.
        experiment: MLflow's experiment; empty for sp_search/<task>.
        objective: the metric whose best value is recorded.
        maximize: whether higher is better.
        interval_s: seconds between two uploads.
        corpus: that the study uses; None leaves the run without inputs.
        sample_s: seconds between two samples of this machine's metrics; None takes none.
        others: gives those of the cluster's other machines.
        connect: opens the store of a URI.
        known: trials of the study, of which the spool may have lost events.

    Raises:
        ConfigError: MLflow has no such kind of store.
        StudyError: another search is running on this study, or its spool is another program's.
    """

    def __init__(
        self,
        study_dir: Path,
        tracking_uri: str,
        *,
        experiment: str = "",
        objective: str = "valid_accuracy",
        maximize: bool = True,
        interval_s: float = 1.0,
        corpus: Corpus | None = None,
        sample_s: float | None = None,
        others: Others | None = None,
        connect: Callable[[str], RunStore] = connect_to_mlflow,
        known: Sequence[KnownTrial] = (),
    ) -> None:
        uri = checked_uri(tracking_uri)
        self._spool, self._winner = Spool(study_dir / "spool"), study_dir / MODEL_NAME
        if self._spool.opened() is not None and (fault := spool_fault(self._spool)):
            raise StudyError(f"{fault}; move it away, or say tracking.enabled=false")
        self._writer = open_writer(self._spool)
        self._uploader = Uploader(self._spool, uri, connect, interval_s)
        self._experiment, self._known = experiment, known
        self._history = StudyAggregates(objective, maximize)
        self._study: dict[str, str] = {}
        self._datasets = [] if corpus is None else [asdict(one) for one in datasets_of(corpus)]
        self._started: dict[int, Callable[[str, int], str]] = {}  # what a trial is called when it has ended
        self._ended_names: dict[int, str] = {}
        self._setting_tags: set[str] = set()  # of the winners of earlier ends
        self._earlier_winners: set[int] = set()
        self._sampler = None if sample_s is None else SystemSampler(self._sampled, sample_s, others)
        self._ended, self._closed = True, False

    @property
    def run_id(self) -> str:
        """The id of the study's run in MLflow; empty until MLflow has answered."""
        return self._uploader.run_id or ""

    def study_opened(self, info: Mapping[str, Any]) -> None:
        """The search begins or continues. Trials that a killed search left running are closed until they continue.

        Args:
            info: study, task, data_fingerprint, and everything else that a run should carry as a tag: data, lm,
                lm_fingerprint, seed, study_id (which tells this study from another one of its name), ...

        Raises:
            ConfigError: info lacks a value that identifies a study.
            StudyError: the spool belongs to another study of this name.
        """
        first = self._spool.opened()
        known_as = "" if first is None else first.data["tags"][f"{PREFIX}study_id"]
        tags = study_tags(info, study_id=known_as or uuid.uuid4().hex)
        if first is not None:
            self._check_same(first.data["tags"], tags)
            for event in self._spool.all_events():
                self._history.replay(event)
                if event.kind == "trial_finished" and event.number is not None:
                    self._ended_names[event.number] = event.data["tags"].get(NAME_TAG, f"trial {event.number}")
                if event.kind == "study_finished":
                    self._setting_tags |= {name for name in event.data["tags"] if name.startswith(SETTING)}
                    self._earlier_winners |= {int(event.data["tags"].get(WINNER, -1))}
            if self._spool.name() != info["study"]:
                self._writer.append("renamed", None, {"name": info["study"]})
        self._study = tags
        note = {NOTE_TAG: opened_note(info)}
        told = {"name": info["study"], "tags": tags | note, "datasets": self._datasets}
        told["experiment"] = self._experiment or f"sp_search/{info['task']}"
        self._writer.append("study_opened", None, told)
        self._ended = False
        for trial in list(lost(self._known, self._spool.all_events())):
            self._tell_again(trial)
        self._uploader.start()
        if self._sampler is not None:
            self._sampler.start()

    def trial_started(
        self, number: int, params: Mapping[str, ParamValue], tags: Mapping[str, Any] | None = None
    ) -> None:
        """A trial begins or continues.

        Args:
            number: unique in the study, confirm runs included.
            params: the searched parameters alone.
            tags: seed; for a confirm run also role="confirm" and of_trial.
        """
        carried = trial_tags(self._study, number, tags or {})
        self._history.started(number, carried[f"{PREFIX}role"])
        name, seed = trial_name(number, carried), None
        if carried[f"{PREFIX}role"] != "search":
            seed = carried.get(f"{PREFIX}seed")
        told = {"name": name, "params": dict(params), "tags": carried}
        self._started[number] = lambda state, seen: ended_name(name, state, seen, params, seed)
        self._writer.append("trial_started", number, told)

    def reported(self, number: int, report: Report) -> None:
        """A trial reports its metrics. A report that was recorded before is left out."""
        metrics = {name: float(value) for name, value in report.metrics.items()}
        points = self._history.reported(number, report.utterances_seen, metrics)
        tags = {f"{PREFIX}diverged": report.diverged} if report.diverged else {}
        if points is not None:
            self._tell("reported", number, points, tags)

    def measured(self, number: int, report: Report) -> None:
        """Valid was measured between two reports of a trial."""
        metrics = {name: float(value) for name, value in report.metrics.items()}
        points = self._history.measured(number, report.utterances_seen, metrics)
        if points is not None:
            self._tell("measured", number, points, {})

    def trial_finished(
        self, number: int, state: str, reason: str = "", metrics: Mapping[str, float] | None = None
    ) -> None:
        """A trial ends.

        Args:
            number: the trial.
            state: COMPLETE, PRUNED or FAIL; anything else is shown as KILLED.
            reason: why it ended, if the state does not say it.
            metrics: those that its last report did not have.
        """
        final = {name: float(value) for name, value in (metrics or {}).items()}
        points = self._history.finished(number, state, final)
        tags = {f"{PREFIX}state": state} | ({f"{PREFIX}reason": reason} if reason else {})
        tags[NAME_TAG] = self._started[number](state, self._history.steps_of(number))
        self._ended_names[number] = tags[NAME_TAG]
        self._tell("trial_finished", number, points, tags)

    def copied(self, number: int, state: str) -> None:
        """Keep nothing: its results are those of another trial, whose run has them."""

    def artifact(self, number: int | None, path: Path, artifact_path: str = "") -> None:
        """Keep a copy of a file, or of all files in a folder, as an artifact of a trial (None: of the study).

        Raises:
            FileNotFoundError: there is no such file.
        """
        self._writer.append_artifact(number, path, artifact_path)

    def table(self, artifact: str) -> None:
        """Mark an artifact of the study, JSON in MLflow's form, as a table."""
        self._writer.append("tabled", None, {"tags": table_tags(artifact)})

    def study_finished(self, summary: Mapping[str, Any]) -> None:
        """The search ended with this summary; the winner that it left is to be logged as a model, and registered."""
        self._writer.append_text("summary.json", json.dumps(plain(summary), indent=2) + "\n")
        metrics, tags = summary_points(summary)
        tags = dict.fromkeys(self._setting_tags, "") | tags  # another winner may lack some of them
        order, winner = self._history.of_full_budget(), (summary.get("best") or {}).get("trial")
        no_longer = {number: name for number, name in self._ended_names.items() if number in self._earlier_winners}
        told = {
            "metrics": metrics,
            "step": self._history.utterances_seen,
            "tags": tags | {NOTE_TAG: finished_note(summary)},
            "names": no_longer | ranked_names(self._ended_names, order, winner),
        }
        self._writer.append("study_finished", None, told)
        if (self._winner / TENSORS).exists():
            self._writer.append_model(self._winner, winner_of(summary, finished_note(summary)))
        self._ended = True

    def abandon(self, reason: str) -> None:
        """The search was interrupted: runs that are still open will be shown as KILLED. Safe in a signal handler."""
        if not self._ended:
            self._ended = True
            self._writer.append("abandoned", None, {"reason": reason})

    def close(self, timeout_s: float) -> int:
        """Upload for at most `timeout_s` seconds, then stop. Returns how many events `sp-search sync` must send."""
        left = 0
        if self._sampler is not None:
            self._sampler.close()
        if self._study and not self._closed:
            self.abandon("the search ended without a summary")
            left = self._uploader.close(timeout_s)
        if not self._closed:
            self._writer.close()
        self._closed = True
        return left

    def _sampled(self, metrics: Mapping[str, float]) -> None:
        told = {"metrics": dict(metrics), "step": self._history.utterances_seen}
        self._writer.append("sampled", None, told)

    def _tell_again(self, trial: KnownTrial) -> None:
        self.trial_started(trial.number, trial.params, {"role": "search", "seed": str(trial.seed)})
        for seen in sorted({*trial.reports, *trial.measured}):
            if seen in trial.reports:
                self.reported(trial.number, Report(seen, trial.reports[seen]))
            else:
                self.measured(trial.number, Report(seen, trial.measured[seen]))
        if trial.state:
            self.trial_finished(trial.number, trial.state, trial.reason)

    def _tell(
        self, kind: str, number: int, points: tuple[dict[str, float], dict[str, float]], tags: Mapping[str, str]
    ) -> None:
        own, study = points
        history = self._history
        told = {"metrics": own, "step": history.steps_of(number), "tags": tags}
        told |= {"study_metrics": study, "study_step": history.utterances_seen}
        self._writer.append(kind, number, told)

    def _check_same(self, first: Mapping[str, str], tags: Mapping[str, str]) -> None:
        for key in IDENTITY:
            was, now = first[f"{PREFIX}{key}"], tags[f"{PREFIX}{key}"]
            if was != now:
                raise StudyError(
                    f"{self._spool.folder}: {key}: expected {was}, got {now}; "
                    "choose another STUDY, or remove the old one's folder"
                )
