"""Write the page of a search: the winner, learning curves, which settings mattered, mistakes, every trial.

If the search still runs, the page shows how far it is, and watch=true writes it again every minute. budget.rate=2.5
adds the cost at that price for an hour of a device.

Methods are compared over all finished studies of the same task, LM and corpus below `runs`: method=prompt, finetune
and probe, and the models without the LM. The page, report/comparison.md and MLflow's run of the study have the table,
and markdown=true prints it. lms=true prints a table of all finished studies of the task on any LM and corpus: metric,
stored bytes, answers a second, and the size of the LM.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from sp_search.cli.settings.reads import OF_NAME
from sp_search.config import Settings
from sp_search.errors import StudyError
from sp_search.files.paths import check_writable, is_there
from sp_search.message import say
from sp_search.prices import read_prices
from sp_search.report.comparison import alike, comparison, read_summary
from sp_search.report.lm_comparison import lm_tables
from sp_search.report.page import TABLE, Ending, write_report
from sp_search.search.study.pictures import study_pictures
from sp_search.search.study.records import deciding_metric, study_record
from sp_search.search.study.study import load_study
from sp_search.search.study.trials import goes_on
from sp_search.tracking.api.attach import attach
from sp_search.tracking.base.uri import default_uri
from sp_search.tracking.upload.sync import sync

READS = (*OF_NAME, "tracking.enabled", "tracking.uri", "cluster.storage", "budget.rate")
EXAMPLE = "sp-search report task=intent markdown=true"

EVERY_S = 60.0


@dataclass(frozen=True, kw_only=True)
class ReportSettings(Settings):
    """The form of the output."""

    markdown: bool = False  # the comparison as Markdown, instead of the page's path
    lms: bool = False  # all finished studies of the task side by side, whatever their LM; as Markdown, no page
    watch: bool = False  # write the page again every minute, until the search has ended


def run(config: ReportSettings) -> int:
    """Write the study's folder `report` and send it to MLflow; print the path of the page, or the comparison."""
    if config.lms:
        print(lm_tables(config.runs, config.task.name), end="")
        return 0
    page, ending = _write(config)
    if config.markdown and ending is None:
        raise StudyError(
            f"study {config.study}: expected a finished study to compare, got one that runs; wait for its end"
        )
    if config.watch and ending is None:
        say(f"{page} is written again every minute; Ctrl-C ends that")
    while config.watch and ending is None:
        time.sleep(EVERY_S)
        page, ending = _write(config)
    folder = config.runs / config.study
    if ending is not None and config.tracking.enabled and attach(folder, page.parent, "report", TABLE):
        sync(config.runs, config.tracking.uri or default_uri(config.runs), study=config.study)
    shown = ending.compared.markdown() if config.markdown and ending is not None else f"{page}\n"
    print(shown, end="")
    return 0


def _write(config: ReportSettings) -> tuple[Path, Ending | None]:
    """Write the page; the ending is None while the search runs."""
    folder = config.runs / config.study
    study = load_study(config.study, config.cluster.storage, folder)
    check_writable(folder / "report", "runs", make=False)
    ending = None if goes_on(study) else _ending(folder / "summary.json", config.runs)
    metric = ending.summary["metric"] if ending else deciding_metric(study)
    again_s = int(EVERY_S) if config.watch and ending is None else 0
    record, pictures = study_record(study, metric, config.study), study_pictures(study, metric)
    return write_report(
        config.runs, record, pictures, ending, prices=read_prices(config.budget.rate), again_s=again_s
    ), ending


def _ending(path: Path, runs: Path) -> Ending | None:
    """What a finished search has left; None where it has left no summary yet.

    Raises:
        StudyError: the summary is damaged.
    """
    if not is_there(path, StudyError):
        return None
    summary, fault = read_summary(path, is_whole=True)
    if fault:
        raise StudyError(f"{fault}; run the same search again to write it anew")
    return Ending(summary, comparison(summary, alike(runs, summary)))
