"""Studies of one task on several LMs, side by side: what an answer comes to, and what it costs.

Corpora in different units are different corpora to a search, though they may be of the same audio. So studies are
set side by side by their task and metric alone, and each row says which corpus it is of.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sp_search.errors import StudyError
from sp_search.message import say
from sp_search.report.comparison import NOTHING, Row, method_name, read_summary, study_rows
from sp_search.report.markup import markdown_table

COLUMNS = ("LM", "its weights", "data", "study", "method")
COSTS = ("stored bytes", "utterances/s")


def lm_tables(runs: Path, task: str) -> str:
    """A table in Markdown for each metric that decides, the best of each table first.

    Args:
        runs: the folder of all studies.
        task: the name of the task.

    Raises:
        StudyError: no study of the task has ended.
    """
    found = []
    for path in sorted(runs.glob("*/summary.json")):
        summary, fault = read_summary(path)
        if fault:
            say(f"{fault}; it is left out of the comparison")
        elif summary["task"] == task:
            found.append(summary)
    if not found:
        raise StudyError(f"{runs}: expected finished studies of task={task}, found none; run sp-search search first")
    metrics = list(dict.fromkeys(summary["metric"] for summary in found))
    return "\n".join(_table(metric, [one for one in found if one["metric"] == metric]) for metric in metrics)


def _table(metric: str, summaries: list[dict[str, Any]]) -> str:
    rows = [
        (row, _cells(summary, row))
        for summary in summaries
        for row in study_rows(method_name(summary["best"]["method"]), summary, metric)
    ]
    rows.sort(key=lambda one: -one[0].measured.value if one[0].measured else 0.0)
    heading = [*COLUMNS, f"test {metric.replace('_', ' ')} (95 % interval)", *COSTS]
    lines = [heading, ["---"] + ["---:"] + ["---"] * 4 + ["---:"] * 2, *(cells for _, cells in rows)]
    return markdown_table(lines)


def _cells(summary: Mapping[str, Any], row: Row) -> list[str]:
    lm = summary["lm"]
    weights = lm.get("parameters")  # not in summaries from before it was recorded
    rate = row.utterances_per_s
    return [
        lm["name"],
        NOTHING if weights is None else f"{weights:,}",
        summary["data"]["name"],
        row.study,
        row.method,
        str(row.measured),
        f"{row.stored_bytes:,}",
        NOTHING if rate is None else f"{rate:,.0f}",
    ]
