"""A study on one page: the answer, how the search went, what mattered, what goes wrong, every trial.

One HTML file with its script inside. The browser is forbidden to load anything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from sp_search.files.write import atomic_write, write_text
from sp_search.prices import Prices
from sp_search.report.answer import finished_answer, made_by, next_steps, running_answer, study_facts
from sp_search.report.comparison import Comparison
from sp_search.report.course_plots import history, learning_curves, timeline
from sp_search.report.curves_image import curves_image
from sp_search.report.markup import paragraph, short, table, text
from sp_search.report.mistakes import Confusions, confusion_matrix, confusions, mistake_tables
from sp_search.report.plot import Level, Plot, setting
from sp_search.report.setting_plots import (
    against_settings,
    importance_bars,
    prompt_map,
    sorted_by_importance,
    verbalizers,
)
from sp_search.report.size_plots import SIZES, methods_on_test, metric_against_size
from sp_search.report.trial_table import trial_table
from sp_search.report.valid_answers import read_answers
from sp_search.rivals.words import together
from sp_search.search.study.pictures import StudyPictures
from sp_search.search.study.records import StudyRecord
from sp_search.search.study.stays import read_stays
from sp_search.tasks.registry import get_task

PAGE, CURVES, MARKDOWN, TABLE = "index.html", "curves.png", "comparison.md", "comparison.json"
"""The files of a report; the last is the comparison in the form of MLflow's tables."""

COMPARED = (
    "Each row is the exported winner of a study. The interval is a bootstrap over the utterances of test; the mean "
    "is that of all seeds of the winner's setting. Training is the time of one run to its full budget on the machine "
    "of its search; if trials were trained together, it is the run's share of their time."
)
AGAINST = (
    "The metric on valid at the last report of each trial. The fainter a dot, the earlier its trial was stopped; the "
    "star is the winner's setting."
)
SAFE = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


@dataclass(frozen=True)
class Ending:
    """What a finished search has beside its trials."""

    summary: Mapping[str, Any]  # as the search wrote it
    compared: Comparison  # the study beside other methods


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it."""

    key: str
    title: str
    plots: Sequence[Plot]
    small: Sequence[Plot] = ()  # a grid of small plots
    below: str = ""  # HTML


def write_report(
    runs: Path,
    record: StudyRecord,
    pictures: StudyPictures,
    ending: Ending | None,
    *,
    prices: Prices | None = None,
    again_s: int = 0,
) -> Path:
    """Write the report of a study into the folder `report` of its own.

    Args:
        runs: the folder that has the study's.
        record: of the study.
        pictures: of the study, drawn by Optuna.
        ending: of a finished search; None while it runs.
        prices: of an hour of a worker; None leaves money out.
        again_s: after how many seconds the page loads itself again; 0 = never.

    Returns:
        The page.

    Raises:
        DataError: the answers to valid that the search left are damaged.
    """
    folder = runs / record.name
    target = folder / "report"
    winner = ending.summary["best"]["trial"] if ending else None
    with atomic_write(target / CURVES) as unfinished:
        curves_image(record, winner, _levels(ending, record.metric)).savefig(unfinished, dpi=120, format="png")

    if ending is not None:
        write_text(target / MARKDOWN, ending.compared.markdown())
        write_text(target / TABLE, json.dumps(ending.compared.table()))
    sections = list(_sections(folder, record, pictures, ending))
    top = _top(runs, record, ending, prices)
    write_text(target / PAGE, _page(record, winner, top, sections, again_s))
    return target / PAGE


def _levels(ending: Ending | None, metric: str) -> list[Level]:
    """The strongest rival and the winner on valid; none while the search runs."""
    if ending is None:
        return []
    baseline, best = ending.summary["baseline"], ending.summary["best"]
    members = together([member["method"] for member in best["members"]])
    return [
        Level(baseline["name"], baseline["valid"][metric], is_winner=False),
        Level(f"the winner: {members}", best["valid"][metric], is_winner=True),
    ]


def _top(runs: Path, record: StudyRecord, ending: Ending | None, prices: Prices | None) -> str:
    stays = read_stays(runs / record.name / "workers")
    summary = ending.summary if ending else None
    answer = finished_answer(summary) if summary else running_answer(record)
    about = study_facts(record, summary, stays, made_by(runs / record.name), prices)
    steps = next_steps(record.name, summary["task"], runs) if summary else ""
    return f'<section class="top">{answer}{about}</section>{steps}'


def _sections(folder: Path, record: StudyRecord, pictures: StudyPictures, ending: Ending | None) -> list[Section]:
    summary = ending.summary if ending else None
    winner = summary["best"]["trial"] if summary else None
    found = []
    if ending is not None:
        seeds = [run["test"][record.metric] for run in ending.summary["setting"].get("runs", ())]
        methods = methods_on_test(ending.compared, seeds, record.name)
        below = table(ending.compared.columns, ending.compared.cells()) + paragraph(COMPARED, "about")
        found.append(Section("methods", "Methods", [methods], below=below))
    course = [
        learning_curves(record, winner, _levels(ending, record.metric)),
        history(record, pictures.history, winner),
        timeline(record, read_stays(folder / "workers"), winner),
    ]
    small = sorted_by_importance(against_settings(record, winner), pictures.importances)
    sizes = [metric_against_size(record, size, summary, winner) for size in SIZES]
    return [
        *found,
        Section("course", "How the search went", course),
        Section("settings", "Settings", [importance_bars(pictures.importances)], small),
        Section("prompts", "Prompts and labels", [prompt_map(pictures, record), verbalizers(record)]),
        Section("sizes", "Size", sizes),
        _mistakes(folder, record),
    ]


def _mistakes(folder: Path, record: StudyRecord) -> Section:
    answers = read_answers(folder)
    task = record.identity.get("task")
    are_written = task is not None and not get_task(task).slots
    found: Confusions = confusions(answers, are_written=are_written)
    return Section("wrong", "What goes wrong", [confusion_matrix(found)], below=mistake_tables(found, answers))


def _page(record: StudyRecord, winner: int | None, top: str, sections: Sequence[Section], again_s: int) -> str:
    drawn = [plot for one in sections for plot in (*one.plots, *one.small) if plot.figure is not None]
    names = record.varying
    labels = {t.number: f"trial {t.number}, {t.state}<br>{setting(t.params, names, short)}" for t in record.trials}
    links = "".join(f'<a href="#{one.key}">{text(one.title)}</a>' for one in sections)
    again = f'<meta http-equiv="refresh" content="{again_s}">' if again_s else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}'
        f'<meta http-equiv="Content-Security-Policy" content="{SAFE}"><link rel="icon" href="data:,">'
        f"<title>{text(record.name)}</title><style>{_asset('page.css')}</style></head><body>"
        f'<h1>{text(record.name)}</h1><nav>{links}<a href="#every">Trials</a></nav>{top}'
        f"{''.join(map(_section, sections))}"
        f'<h2 id="every">Trials</h2>{trial_table(record, winner)}'
        f"{_data('plots', [plot.to_json() for plot in drawn])}{_data('labels', labels)}"
        f"<script>{get_plotlyjs()}</script><script>{_asset('page.js')}</script></body></html>\n"
    )


def _section(one: Section) -> str:
    small = "".join(map(_figure, one.small))
    grid = (
        f'<h3>Against each setting</h3>{paragraph(AGAINST, "about")}<div class="small">{small}</div>' if small else ""
    )
    return f'<h2 id="{one.key}">{text(one.title)}</h2>{"".join(map(_figure, one.plots))}{grid}{one.below}'


def _figure(plot: Plot) -> str:
    about = paragraph(plot.about, "about")
    if plot.figure is None:
        return f"<h3>{text(plot.title)}</h3>{about}"
    place = f'<div class="plot" id="plot-{text(plot.key)}" style="height:{plot.height}px"></div>'
    if not plot.about:
        return f"<figure>{place}</figure>"
    return f'<figure aria-label="{text(plot.title)}"><h3>{text(plot.title)}</h3>{about}{place}</figure>'


def _data(key: str, value: Any) -> str:
    """JSON for the page's script; `</` would end the element."""
    raw = json.dumps(value, separators=(",", ":")).replace("</", "<\\/")
    return f'<script type="application/json" id="{key}">{raw}</script>'


def _asset(name: str) -> str:
    return (files("sp_search.report") / "assets" / name).read_text(encoding="utf-8")
