"""The papers' comparison: prompt, fine-tuned LM, linear probe and the cheap rivals on one task, LM and corpus.

A study has a row for what it exports, and where several states answer together another for the best one alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sp_search.errors import ConfigError
from sp_search.message import say
from sp_search.metrics.parts import HEARD, NEW
from sp_search.report.markup import markdown_table
from sp_search.rivals.settings import RIVALS
from sp_search.rivals.words import together
from sp_search.search.ui.words import ending
from sp_search.tasks.registry import get_task

NAMES = {"prompt": "prompt", "finetune": "fine-tuned LM", "probe": "linear probe on the frozen LM"}
NOTHING = "–"


@dataclass(frozen=True)
class Measured:
    """A metric on test."""

    value: float
    interval: tuple[float, float]  # 95 %, by bootstrap over utterances

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.3f} ({low:.3f} to {high:.3f})"


@dataclass(frozen=True)
class Row:
    """A method's result; what it has not is None."""

    method: str  # as people call it
    study: str  # empty for a rival that stands beside a search
    measured: Measured | None = None  # what decides
    mean: float | None = None  # over the winner's seeds
    seeds: int | None = None
    trained_parameters: int | None = None
    stored_bytes: int | None = None
    train_s: float | None = None  # of one training to its full budget; its share where trials share passes
    utterances_per_s: float | None = None  # of answering, on the search's machine
    note: str = ""  # why there is nothing
    beside: tuple[Measured | None, ...] = ()  # the metrics of `Comparison.beside`


@dataclass(frozen=True)
class Comparison:
    """The rows, methods in the papers' order and the rivals last, the strongest on valid first."""

    metric: str  # that decides, as accuracy
    rows: tuple[Row, ...]
    beside: tuple[str, ...] = ()  # the same over the parts of test, or over all of it: char_accuracy_heard
    utterances: Mapping[str, int] = field(default_factory=dict)  # of test, by the metrics over a part of it

    @property
    def columns(self) -> list[str]:
        """Headings for people."""
        measured, *beside = (self._heading(name) for name in (self.metric, *self.beside))
        sizes = ["mean of seeds", "trained parameters", "stored bytes", "training, s"]
        return ["method", "study", measured, *sizes, *beside]

    def _heading(self, metric: str) -> str:
        of = f" of {self.utterances[metric]:,} utterances" if metric in self.utterances else ""
        return f"test {metric.replace('_', ' ')}{of} (95 % interval)"

    def cells(self) -> list[list[str]]:
        """The rows for people, a text for each heading."""
        return [
            [*_cells(row), *(NOTHING if one is None else str(one) for one in self._beside(row))] for row in self.rows
        ]

    def markdown(self) -> str:
        """A table for a README."""
        lines = [self.columns, ["---"] * 3 + ["---:"] * 4 + ["---"] * len(self.beside), *self.cells()]
        return markdown_table(lines)

    def table(self) -> dict[str, Any]:
        """The same as numbers, in the form of MLflow's tables."""
        sizes = ("mean", "seeds", "trained_parameters", "stored_bytes", "train_s", "note")
        return {
            "columns": [
                *("method", "study", self.metric, "low", "high", *sizes),
                *(column for name in self.beside for column in (name, f"{name}_low", f"{name}_high")),
            ],
            "data": [
                [
                    *(row.method, row.study, *_numbers(row.measured), *(getattr(row, size) for size in sizes)),
                    *(number for measured in self._beside(row) for number in _numbers(measured)),
                ]
                for row in self.rows
            ],
        }

    def _beside(self, row: Row) -> tuple[Measured | None, ...]:
        return row.beside or (None,) * len(self.beside)


def alike(runs: Path, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The summaries of all other finished studies of the same task, LM, corpus and deciding metric, by name."""
    found = []
    for path in sorted(runs.glob("*/summary.json")):
        other, fault = read_summary(path)
        if fault:
            say(f"{fault}; it is left out of the comparison")
        elif other["study"] != summary["study"] and _subject(other) == _subject(summary):
            found.append(other)
    return found


def read_summary(path: Path, *, is_whole: bool = False) -> tuple[dict[str, Any], str]:
    """A summary as a finished search has left it; else what is wrong with the file, which may be anybody's.

    A study is called as its folder is, which may have been renamed since.

    Args:
        path: of the file.
        is_whole: whether all that the study's own page says must be there, or only what a row beside others says.
    """
    expected = f"{path}: expected the summary of a finished study"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return {}, f"{expected}, got {error.strerror}"
    except (ValueError, RecursionError):
        return {}, f"{expected}, got a damaged file"
    try:
        metric, best = found["metric"], found["best"]
        numbers = (best["test"][metric], *best["intervals"][metric])
        known = isinstance(found["study"], str) and isinstance(best["method"], str) and _subject(found)
        whole = known and all(isinstance(number, int | float) for number in numbers)
        study_rows("", found, metric)
        if is_whole:
            _say_all(found, metric)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, ConfigError) as error:
        return {}, f"{expected}, got one that lacks {error}"
    return (found | {"study": path.parent.name}, "") if whole else ({}, f"{expected}, got another kind of file")


def _say_all(summary: Mapping[str, Any], metric: str) -> None:
    """Say what the page and the last lines of a search say; raises what `read_summary` catches where a part lacks."""
    compared = comparison(summary, [])
    json.dumps([compared.markdown(), compared.table()])
    ending(summary)
    for run in (summary["baseline"]["valid"], *(run["test"] for run in summary["setting"].get("runs", ()))):
        float(run[metric])
    dict(summary["best"]["params"].items())
    float(summary["trial_s"] / (summary.get("engine_share") or 1.0))
    for seconds in (summary.get("device_s") or {}).values():
        float(seconds + 0.0)


def comparison(summary: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> Comparison:
    """Compare a finished study with others that are `alike`; a method without a study has a row that says so."""
    metric = summary["metric"]
    of_parts = parted_names(metric)
    beside = tuple(n for n in of_parts if n != metric and n in summary["best"]["intervals"])
    rows: list[Row] = []
    studies = sorted([summary, *others], key=lambda one: one["study"])
    for method, name in NAMES.items():
        of_method = [one for one in studies if one["best"].get("method") == method]
        rows += [row for one in of_method for row in study_rows(name, one, metric, beside)]
        if not of_method:
            rows.append(Row(name, "", note=_why_nothing(method, summary["task"])))
    of_rivals = [(RIVALS[method], one) for one in studies if (method := one["best"].get("method")) in RIVALS]
    rows += [row for name, one in of_rivals for row in study_rows(name, one, metric, beside)]
    rows += [_rivals_row(rival, metric, beside) for rival in (summary["baseline"], *summary.get("other_rivals", ()))]
    sizes = summary.get("parts", {}).get("test", {})
    utterances = {name: sizes[part] for name, part in of_parts.items() if part in sizes}
    return Comparison(metric, tuple(rows), beside, utterances)


def method_name(method: str) -> str:
    """A method as people call it."""
    return {**NAMES, **{str(rival): name for rival, name in RIVALS.items()}}[method]


def parted_names(metric: str) -> dict[str, str]:
    """The names of a metric over a whole split, over the sentences heard before and the new ones, with the part."""
    whole = metric.removesuffix(f"_{NEW}").removesuffix(f"_{HEARD}")
    return {whole: "", f"{whole}_{HEARD}": HEARD, f"{whole}_{NEW}": NEW}


def study_rows(name: str, summary: Mapping[str, Any], metric: str, beside: Sequence[str] = ()) -> list[Row]:
    """Of a study: what it exports and, where that is several states, the best one alone, under the method's name."""
    best, single = summary["best"], summary["answers"]["single"]
    alone = _row(name, summary["study"], single, metric, beside)
    alone = replace(alone, mean=summary["setting"]["test"][metric], seeds=len(best["seeds"]))
    if best["members"] == single["members"]:
        return [alone]
    words = together([member["method"] for member in best["members"]])
    return [_row(words, summary["study"], best, metric, beside), alone]


def _row(name: str, study: str, answer: Mapping[str, Any], metric: str, beside: Sequence[str]) -> Row:
    return Row(
        method=name,
        study=study,
        measured=_measured(answer, metric),
        beside=tuple(_measured(answer, name) for name in beside),
        trained_parameters=answer["trained_parameters"],
        stored_bytes=answer["stored_bytes"],
        train_s=answer["train_s"],
        utterances_per_s=answer.get("utterances_per_s"),
    )


def _rivals_row(rival: Mapping[str, Any], metric: str, beside: Sequence[str]) -> Row:
    return Row(
        method=rival["name"],
        study="",
        measured=_measured(rival, metric),
        beside=tuple(_measured(rival, name) for name in beside),
        trained_parameters=rival["trained_parameters"],
        stored_bytes=rival["stored_bytes"],
        train_s=rival["train_s"],
    )


def _why_nothing(method: str, task: str) -> str:
    if method == "probe" and not get_task(task).slots:
        return "not defined: a linear probe writes no answer"
    return f"no finished study (sp-search search task={task} method={method})"


def _subject(summary: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return summary["task"], summary["lm"]["fingerprint"], summary["data"]["fingerprint"], summary["metric"]


def _measured(one: Mapping[str, Any], metric: str) -> Measured | None:
    """A metric of an export or of a baseline; None where test has no such part."""
    if metric not in one["intervals"]:
        return None
    low, high = one["intervals"][metric]
    return Measured(one["test"][metric], (low, high))


def _numbers(measured: Measured | None) -> tuple[float | None, ...]:
    return (None, None, None) if measured is None else (measured.value, *measured.interval)


def _cells(row: Row) -> list[str]:
    if row.measured is None:
        return [row.method, row.study or NOTHING, row.note, *[NOTHING] * 4]
    mean = NOTHING if row.mean is None else f"{row.mean:.3f} ({row.seeds})"
    return [
        row.method,
        row.study or NOTHING,
        str(row.measured),
        mean,
        f"{row.trained_parameters:,}",
        f"{row.stored_bytes:,}",
        NOTHING if row.train_s is None else f"{row.train_s:.3g}",
    ]
