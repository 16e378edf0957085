"""The papers' comparison: prompt, fine-tuned LM, linear probe and baseline on one task, LM and corpus.

A study has a row for what it exports, and where several states answer together another for the best one alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sp_search.export.words import together
from sp_search.tasks.registry import get_task

NAMES = {"prompt": "prompt", "finetune": "fine-tuned LM", "probe": "linear probe on the frozen LM"}
NOTHING = "–"


@dataclass(frozen=True)
class Row:
    """A method's result; what it has not is None."""

    method: str  # as people call it
    study: str  # empty for the baseline
    value: float | None = None  # of the metric, on test
    interval: tuple[float, float] | None = None  # 95 %, by bootstrap over utterances
    mean: float | None = None  # over the winner's seeds
    seeds: int | None = None
    trained_parameters: int | None = None
    stored_bytes: int | None = None
    train_s: float | None = None  # of one training to its full budget; its share where trials share passes
    note: str = ""  # why there is nothing


@dataclass(frozen=True)
class Comparison:
    """The rows, methods in the papers' order and the baseline last."""

    metric: str  # as accuracy
    rows: tuple[Row, ...]

    @property
    def columns(self) -> list[str]:
        """Headings for people."""
        metric = self.metric.replace("_", " ")
        value = f"test {metric} (95 % interval)"
        return ["method", "study", value, "mean of seeds", "trained parameters", "stored bytes", "training, s"]

    def cells(self) -> list[list[str]]:
        """The rows for people, a text for each heading."""
        return [_cells(row) for row in self.rows]

    def markdown(self) -> str:
        """A table for a README."""
        lines = [self.columns, ["---"] * 3 + ["---:"] * 4, *self.cells()]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def table(self) -> dict[str, Any]:
        """The same as numbers, in the form of MLflow's tables."""
        sizes = ("mean", "seeds", "trained_parameters", "stored_bytes", "train_s", "note")
        return {
            "columns": ["method", "study", self.metric, "low", "high", *sizes],
            "data": [
                [row.method, row.study, row.value, *(row.interval or (None, None)), *(getattr(row, s) for s in sizes)]
                for row in self.rows
            ],
        }


def alike(runs: Path, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The summaries of all other finished studies of the same task, LM and corpus, by name."""
    found = []
    for path in sorted(runs.glob("*/summary.json")):
        other, fault = read_summary(path)
        if fault:
            print(f"sp-search: {fault}; it is left out of the comparison", file=sys.stderr)
        elif other["study"] != summary["study"] and _subject(other) == _subject(summary):
            found.append(other)
    return found


def read_summary(path: Path) -> tuple[dict[str, Any], str]:
    """A summary as a finished search has left it; else what is wrong with the file, which may be anybody's."""
    expected = f"{path}: expected the summary of a finished study"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return {}, f"{expected}, got {error.strerror}"
    except ValueError:
        return {}, f"{expected}, got a damaged file"
    try:
        metric, best = found["metric"], found["best"]
        numbers = (best["test"][metric], *best["intervals"][metric])
        known = isinstance(found["study"], str) and isinstance(best["method"], str) and _subject(found)
        whole = known and all(isinstance(number, int | float) for number in numbers)
        _rows("", found, metric)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return {}, f"{expected}, got one that lacks {error}"
    return (found, "") if whole else ({}, f"{expected}, got another kind of file")


def comparison(summary: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> Comparison:
    """Compare a finished study with others that are `alike`; a method without a study has a row that says so."""
    metric = summary["metric"]
    rows: list[Row] = []
    studies = sorted([summary, *others], key=lambda one: one["study"])
    for method, name in NAMES.items():
        of_method = [one for one in studies if one["best"].get("method") == method]
        rows += [row for one in of_method for row in _rows(name, one, metric)]
        if not of_method:
            rows.append(Row(name, "", note=_why_nothing(method, summary["task"])))
    baseline = summary["baseline"]
    rows.append(
        Row(
            method=baseline["name"],
            study="",
            value=baseline["test"][metric],
            interval=_pair(baseline["intervals"][metric]),
            trained_parameters=baseline["trained_parameters"],
            stored_bytes=baseline["stored_bytes"],
            train_s=baseline["train_s"],
        )
    )
    return Comparison(metric, tuple(rows))


def _rows(name: str, summary: Mapping[str, Any], metric: str) -> list[Row]:
    """Of a study: what it exports and, where that is several states, the best one alone."""
    best, single = summary["best"], summary["answers"]["single"]
    alone = _row(name, summary["study"], single, metric)
    alone = replace(alone, mean=summary["setting"]["test"][metric], seeds=len(best["seeds"]))
    if len(best["members"]) == 1:
        return [alone]
    return [_row(together([member["method"] for member in best["members"]]), summary["study"], best, metric), alone]


def _row(name: str, study: str, measured: Mapping[str, Any], metric: str) -> Row:
    return Row(
        method=name,
        study=study,
        value=measured["test"][metric],
        interval=_pair(measured["intervals"][metric]),
        trained_parameters=measured["trained_parameters"],
        stored_bytes=measured["stored_bytes"],
        train_s=measured["train_s"],
    )


def _why_nothing(method: str, task: str) -> str:
    if method == "probe" and not get_task(task).slots:
        return "not defined: a linear probe writes no answer"
    return f"no finished study (sp-search search task={task} method={method})"


def _subject(summary: Mapping[str, Any]) -> tuple[str, str, str]:
    return summary["task"], summary["lm"]["fingerprint"], summary["data"]["fingerprint"]


def _pair(values: Sequence[float]) -> tuple[float, float]:
    low, high = values
    return low, high


def _cells(row: Row) -> list[str]:
    if row.value is None or row.interval is None:
        return [row.method, row.study or NOTHING, row.note, *[NOTHING] * 4]
    low, high = row.interval
    mean = NOTHING if row.mean is None else f"{row.mean:.3f} ({row.seeds})"
    return [
        row.method,
        row.study or NOTHING,
        f"{row.value:.3f} ({low:.3f} to {high:.3f})",
        mean,
        f"{row.trained_parameters:,}",
        f"{row.stored_bytes:,}",
        NOTHING if row.train_s is None else f"{row.train_s:.3g}",
    ]
