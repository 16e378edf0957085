"""The table of trials: one line a trial, parameters that vary only; the page's script sorts and filters it."""

from __future__ import annotations

from sp_search.report.markup import short, text
from sp_search.search.study.records import StudyRecord, TrialRecord
from sp_search.search.study.trials import STOPPED

_WHY = ' class="why"'
SHOWN = 10
"""Failed trials whose reason stands below the table."""


def trial_table(record: StudyRecord, winner: int | None) -> str:
    """All trials of a study as HTML, with a filter above.

    Args:
        record: of the study.
        winner: number of the trial whose setting won; None while the search runs.
    """
    names = record.varying
    has_reasons = any(_why(trial) for trial in record.trials)
    columns = ["trial", "state", *(["why"] if has_reasons else [])]
    columns += ["utterances", record.metric.replace("_", " "), "bytes", *names]
    head = "".join(
        f'<th scope="col"{_WHY if name == "why" else ""}><button type="button">{text(name)}</button></th>'
        for name in columns
    )
    rows = "".join(_row(trial, names, has_reasons, trial.number == winner) for trial in record.trials)
    states = sorted({trial.state for trial in record.trials})
    options = "".join(f"<option>{text(state)}</option>" for state in states)
    return (
        '<div class="filter"><label>Filter <input type="search" id="filter" placeholder="linear, 0.01, ..."></label>'
        f'<label>State <select id="state"><option value="">all</option>{options}</select></label>'
        f'<output id="shown">{len(record.trials):,} trials</output></div>'
        f'<div class="wide tall"><table id="trials"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"{_failures(record)}"
    )


def _failures(record: StudyRecord) -> str:
    """The whole reasons of the first failed trials, which the table cuts off."""
    failed = [trial for trial in record.trials if trial.state == "fail"]
    lines = "".join(f"<li>trial {trial.number}: {text(trial.reason)}</li>" for trial in failed[:SHOWN])
    more = f"<li>and {len(failed) - SHOWN:,} more</li>" if len(failed) > SHOWN else ""
    return f"<h3>Failed</h3><ul>{lines}{more}</ul>" if failed else ""


def _row(trial: TrialRecord, names: list[str], has_reasons: bool, is_winner: bool) -> str:
    seen, value = trial.last if trial.last else ("", "")
    size = trial.facts.get("stored_bytes", "")
    cells = [
        f"{seen:,}" if seen != "" else "",
        f"{value:.4f}" if value != "" else "",
        f"{size:,}" if size != "" else "",
        *(short(trial.params[name]) if name in trial.params else "" for name in names),
    ]
    why = text(_why(trial))
    first = f"<td>{trial.number}</td><td>{text(trial.state)}</td>"
    first += f'<td class="why" title="{why}">{why}</td>' if has_reasons else ""
    kind = f"{trial.state} won" if is_winner else trial.state
    return f'<tr class="{text(kind)}">{first}{"".join(f"<td>{text(cell)}</td>" for cell in cells)}</tr>'


def _why(trial: TrialRecord) -> str:
    """Why a trial ended early, where its state does not say it already."""
    return "" if trial.reason == STOPPED else trial.reason
