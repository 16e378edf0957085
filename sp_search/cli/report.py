"""Draw the page of a finished study again: learning curves, Optuna's plots, every trial in a table."""

from __future__ import annotations

import json

from sp_search.config import Settings
from sp_search.errors import StudyError
from sp_search.report.page import write_report
from sp_search.search.history import optuna_figures, study_history
from sp_search.search.study import load_study


def run(config: Settings) -> int:
    """Write `report/index.html` and `report/curves.png` into the study's folder; print the page's path."""
    folder = config.runs / config.study
    summary = folder / "summary.json"
    if not summary.exists():
        raise StudyError(
            f"{summary}: expected the summary of a finished study, found none; run the search to its end"
        )
    study = load_study(config.study, config.cluster.storage, folder)
    told = json.loads(summary.read_text())
    print(write_report(folder, study_history(study, told["metric"]), optuna_figures(study), told))
    return 0
