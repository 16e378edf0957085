"""Search prompts: many trials over one frozen LM, the winner confirmed, tested and left in `runs/STUDY/best`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sp_search.cli.wiring.export_document import baseline_by_split, export_document, write_summary
from sp_search.cli.wiring.factories import corpus_quantizer, recipe_of
from sp_search.cli.wiring.ray_settings import joined
from sp_search.cli.wiring.search_setup import search_settings, space_of
from sp_search.config import Settings
from sp_search.export.folder import write_export
from sp_search.report.comparison import alike, comparison
from sp_search.report.page import TABLE, write_report
from sp_search.search.base.callbacks import Observer
from sp_search.search.base.result import TrialResult
from sp_search.search.run.search import run_search
from sp_search.search.study.plots import optuna_figures
from sp_search.search.study.records import study_record
from sp_search.search.study.study import StudyIdentity, open_study
from sp_search.search.ui.progress import Progress
from sp_search.tracking.api.tracker import MlflowTracker
from sp_search.tracking.base.uri import default_uri


def run(config: Settings) -> int:
    """Search, and print the path of the summary."""
    torch.set_num_threads(1)  # this process only asks and listens
    with joined(config) as sized:
        path = _search(sized)
    print(path)  # behind whatever Ray has to say
    return 0


def _search(config: Settings) -> Path:
    recipe = recipe_of(config)
    lm, data = recipe.data()
    quantizer = corpus_quantizer(config)
    space = space_of(config, recipe.task, lm.architecture.layers)
    settings = search_settings(config, lm.architecture.layers)
    identity = StudyIdentity(
        config.task.name, config.lm.name, lm.fingerprint, config.data.name, data.corpus.fingerprint
    )
    study = open_study(config.study, config.cluster.storage, settings.folder, identity, config.schedule.seed)
    observers: list[Observer] = [Progress(settings)]
    tracker = None
    if config.tracking.enabled:
        uri = config.tracking.uri or default_uri(config.runs)
        tracker = MlflowTracker(
            settings.folder, uri, experiment=config.tracking.experiment, objective=settings.metric
        )
        observers.append(tracker)

    def keep(finished: TrialResult) -> Path | None:
        if finished.facts["method"] == "finetune":
            return None  # as large as the LM: the winner's is kept
        folder = settings.trial_folder(finished.number) / "prompt"
        write_export(folder, finished.state, export_document(identity, lm, data, finished, config), quantizer)
        return folder

    def conclude(finished: TrialResult, summary: dict[str, Any]) -> None:
        summary["baseline"] = baseline_by_split(data)
        document = export_document(identity, lm, data, finished, config)
        write_export(settings.folder / "best", finished.state, document, quantizer)
        compared = comparison(summary, alike(config.runs, summary))
        history = study_record(study, summary["metric"])
        write_report(settings.folder, history, optuna_figures(study), summary, compared)
        if tracker is not None:
            tracker.artifact(None, settings.folder / "best", "best")
            tracker.artifact(None, settings.folder / "report", "report")
            tracker.table(f"report/{TABLE}")

    shared = recipe.parts(lm, data)
    summary = run_search(settings, identity, study, space, recipe, observers, keep, conclude, shared)
    summary["mlflow_run_id"] = tracker.run_id if tracker is not None else None
    return write_summary(settings.folder, summary)
