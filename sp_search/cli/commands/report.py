"""Write the page of a finished study again: comparison with other methods, learning curves, Optuna's plots, trials.

Methods are compared over all finished studies of the same task, LM and corpus below `runs`: method=prompt, finetune
and probe, and the cheap rivals. The page, report/comparison.md and MLflow's run of the study have the table, and
markdown=true prints it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sp_search.cli.settings.reads import OF_NAME
from sp_search.config import Settings
from sp_search.errors import StudyError
from sp_search.report.comparison import alike, comparison, read_summary
from sp_search.report.page import TABLE, write_report
from sp_search.search.study.plots import optuna_figures
from sp_search.search.study.records import study_record
from sp_search.search.study.study import load_study
from sp_search.tracking.api.attach import attach
from sp_search.tracking.base.uri import default_uri
from sp_search.tracking.upload.sync import sync

READS = (*OF_NAME, "tracking.enabled", "tracking.uri", "cluster.storage")
EXAMPLE = "sp-search report task=intent markdown=true"


@dataclass(frozen=True, kw_only=True)
class ReportSettings(Settings):
    """The form of the output."""

    markdown: bool = False  # the comparison as Markdown, instead of the page's path


def run(config: ReportSettings) -> int:
    """Write the study's folder `report` and send it to MLflow; print the path of the page, or the comparison."""
    folder = config.runs / config.study
    summary = folder / "summary.json"
    if not summary.exists():
        raise StudyError(
            f"{summary}: expected the summary of a finished study, found none; run the search to its end"
        )
    study = load_study(config.study, config.cluster.storage, folder)
    told, fault = read_summary(summary)
    if fault:
        raise StudyError(f"{fault}; run the same search again to write it anew")
    compared = comparison(told, alike(config.runs, told))
    page = write_report(folder, study_record(study, told["metric"]), optuna_figures(study), told, compared)
    if config.tracking.enabled and attach(folder, page.parent, "report", TABLE):
        sync(config.runs, config.tracking.uri or default_uri(config.runs), study=config.study)
    print(compared.markdown() if config.markdown else page, end="" if config.markdown else "\n")
    return 0
