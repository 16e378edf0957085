"""A study on one page: who won, beside other methods, every trial, pictures; one HTML file that needs no network."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot

from sp_search.export.words import together
from sp_search.report.comparison import Comparison
from sp_search.report.plots import learning_curves
from sp_search.search.study.records import StudyRecord

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:1rem 0;font-size:13px}td,th{border-bottom:1px solid #ddd;padding:3px 9px;"
    "text-align:left}tr.won{background:#fff3e0}img{max-width:100%;margin:.5rem 0}"
)


PAGE, CURVES, MARKDOWN, TABLE = "index.html", "curves.png", "comparison.md", "comparison.json"
"""The files of a report; the last is the comparison in the form of MLflow's tables."""

COMPARED = (
    "Each row is a study's exported winner, the best of its seeds on valid, with the 95 % interval of a bootstrap "
    "over the utterances of test; beside it the mean of all its seeds. Training is that of one run to its full "
    "budget on the machine of its search, and its share of the time where trials shared passes."
)


def write_report(
    folder: Path,
    history: StudyRecord,
    figures: Iterable[tuple[str, Any]],
    summary: Mapping[str, Any],
    compared: Comparison,
) -> Path:
    """Write the report of a finished study into its folder `report`.

    Args:
        folder: of the study.
        history: of the study.
        figures: more Matplotlib figures by name.
        summary: as the search wrote it.
        compared: the study beside other methods.

    Returns:
        The page.
    """
    matplotlib.use("Agg")
    target = folder / "report"
    target.mkdir(parents=True, exist_ok=True)
    winner = summary["best"]["trial"]
    baseline = summary["baseline"]
    curves = learning_curves(history, winner, (baseline["name"], baseline["valid"][history.metric]))
    curves.savefig(target / CURVES, dpi=120)
    pictures = [("learning curves", _embedded(curves))]
    pictures += [(name, _embedded(figure)) for name, figure in figures]
    pyplot.close("all")
    (target / MARKDOWN).write_text(compared.markdown())
    (target / TABLE).write_text(json.dumps(compared.table()))
    page = target / PAGE
    page.write_text(_page(history, winner, _facts(summary), compared, pictures))
    return page


def _facts(summary: Mapping[str, Any]) -> dict[str, Any]:
    best, baseline = summary["best"], summary["baseline"]
    return {
        "winner": f"the setting of trial {best['trial']}; {together([m['method'] for m in best['members']])} answer",
        **{
            f"{split} {name.replace('_', ' ')}": f"{best[split][name]:.4f} ({baseline['name']} {value:.4f})"
            for split in ("valid", "test")
            for name, value in baseline[split].items()
        },
        "settings": ", ".join(f"{name} {_short(value)}" for name, value in best["params"].items()),
        "trained parameters": f"{best['trained_parameters']:,}",
        "trials": ", ".join(f"{count} {state}" for state, count in summary["trials"].items()),
        "task, LM, data": ", ".join((summary["task"], summary["lm"]["name"], summary["data"]["name"])),
        "time": f"{summary['wall_s']:.0f} s",
    }


def _page(
    history: StudyRecord,
    winner: int,
    facts: Mapping[str, Any],
    compared: Comparison,
    pictures: Iterable[tuple[str, str]],
) -> str:
    facts_rows = "".join(f"<tr><th>{_text(key)}</th><td>{_text(value)}</td></tr>" for key, value in facts.items())
    images = "".join(f'<h2>{_text(name)}</h2><img alt="{_text(name)}" src="{data}">' for name, data in pictures)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_text(history.name)}</title>'
        f"<style>{STYLE}</style></head><body><h1>{_text(history.name)}</h1><table>{facts_rows}</table>"
        f"<h2>methods</h2>{_method_table(compared)}{images}"
        f"<h2>trials</h2>{_trial_table(history, winner)}</body></html>\n"
    )


def _method_table(compared: Comparison) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in compared.columns)
    rows = ["".join(f"<td>{_text(cell)}</td>" for cell in row) for row in compared.cells()]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table><p>{COMPARED}</p>"


def _trial_table(history: StudyRecord, winner: int) -> str:
    metric = history.metric.replace("_", " ")
    names = sorted({name for trial in history.trials for name in trial.params})
    head = "".join(f"<th>{_text(name)}</th>" for name in ("trial", "state", "seen", metric, *names, "why"))
    rows = []
    for trial in history.trials:
        seen = max(trial.reports, default=0)
        value = f"{trial.reports[seen]:.4f}" if seen else ""
        cells = [trial.number, trial.state, seen, value]
        cells += [_short(trial.params.get(name, "")) for name in names] + [trial.reason]
        row = "".join(f"<td>{_text(value)}</td>" for value in cells)
        rows.append(f'<tr class="{"won" if trial.number == winner else ""}">{row}</tr>')
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _embedded(figure: Any) -> str:
    raw = io.BytesIO()
    figure.savefig(raw, format="png", dpi=110, bbox_inches="tight")
    return "data:image/png;base64," + base64.b64encode(raw.getvalue()).decode()


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _text(value: Any) -> str:
    return html.escape(str(value))
