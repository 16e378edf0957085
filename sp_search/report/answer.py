"""The top of the page: what the search came to, what it cost, and what to do next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sp_search.prices import OTHER, Prices
from sp_search.report.markup import facts, paragraph, short, text
from sp_search.rivals.words import together
from sp_search.search.base.run_numbers import run_of
from sp_search.search.study.records import StudyRecord
from sp_search.search.study.stays import Stay


@dataclass(frozen=True)
class Made:
    """By which version and commit an answer was made; empty where it is not known."""

    version: str = ""
    commit: str = ""


def made_by(folder: Path) -> Made:
    """What the exported winner in a study's folder says of that."""
    try:
        document = json.loads((folder / "best" / "prompt.json").read_text(encoding="utf-8"))
        commit = document["git"]["sha"][:12] + (" with changes" if document["git"]["dirty"] == "true" else "")
        return Made(document["versions"]["sp_search"], commit)
    except (OSError, ValueError, KeyError, TypeError):
        return Made()


def finished_answer(summary: Mapping[str, Any]) -> str:
    """The winner and its interval, the best prompt alone, and the verdicts beside the cheap rivals, as HTML."""
    best, single, metric = summary["best"], summary["answers"]["single"], summary["metric"]
    name, (low, high) = metric.replace("_", " "), best["intervals"][metric]
    answer = (
        f'<p class="answer"><b>{best["test"][metric]:.3f}</b> <span>test {text(name)}, 95 % interval {low:.3f} to '
        f"{high:.3f}</span></p>"
    )
    kinds = together([member["method"] for member in best["members"]])
    verdicts = [one["against"]["verdict"] for one in (summary["baseline"], *summary.get("other_rivals", ()))]
    is_alone = len(best["members"]) == 1
    who = f"{kinds} {'answers' if is_alone else 'answer together'}. On test, the answer {', '.join(verdicts)}."
    seeds = len(best["seeds"])
    setting = (
        f"The setting of trial {best['trial']} reaches {summary['setting']['test'][metric]:.3f} "
        f"({'one seed' if seeds == 1 else f'mean of {seeds} seeds'})"
    )
    alone = "" if is_alone else f", the best one alone {single['test'][metric]:.3f}"
    early = f"Ended early: {summary['ended_early']}." if summary.get("ended_early") else ""
    return answer + paragraph(who) + paragraph(f"{setting}{alone}.") + paragraph(early)


def running_answer(record: StudyRecord) -> str:
    """How far a search is, and its best trial so far, as HTML."""
    reported = [(trial.last, trial.number) for trial in record.trials if trial.last is not None]
    counted = {
        state: sum(trial.state == state for trial in record.trials) for state in ("complete", "pruned", "fail")
    }
    running = sum(trial.state in ("running", "waiting") for trial in record.trials)
    ended = ", ".join(f"{count} {state}" for state, count in counted.items() if count) or "none has ended"
    trials = "1 trial" if len(record.trials) == 1 else f"{len(record.trials)} trials"
    line = f"Not finished: {trials} so far, {ended}, {running} running."
    if not reported:
        return paragraph(line, "state") + paragraph("No trial has reported yet.")
    (seen, value), number = max(reported)
    name = record.metric.replace("_", " ")
    answer = f'<p class="answer"><b>{value:.3f}</b> <span>valid {text(name)} of trial {number}, the best of those '
    return answer + f"that have seen {seen:,} utterances</span></p>" + paragraph(line, "state")


def study_facts(
    record: StudyRecord,
    summary: Mapping[str, Any] | None,
    stays: Sequence[Stay],
    made: Made,
    prices: Prices | None,
) -> str:
    """Task, LM, data, setting, sizes, cost, time and version, as HTML.

    Args:
        record: of the study.
        summary: of a finished search; None while it runs.
        stays: of trials on workers.
        made: version and commit.
        prices: of an hour of a worker; None leaves money out.
    """
    identity = record.identity
    begun = [trial.began for trial in record.trials if trial.began]
    ended = [trial.ended for trial in record.trials if trial.ended]
    pairs = [
        ("task", identity.get("task", "")),
        ("LM", identity.get("lm", "")),
        ("data", identity.get("data", "")),
        *(_of_summary(summary) if summary else ()),
        ("trained on", f"{utterances(record, stays):,} utterances in all"),
        *(_time(summary, prices) if summary else ()),
        ("when", f"{_utc(min(begun))} to {_utc(max(ended))} UTC" if begun and ended else ""),
        ("version", " at commit ".join(part for part in (made.version, made.commit) if part)),
    ]
    return facts(pairs)


def _utc(local: datetime) -> str:
    return f"{local.astimezone(UTC):%Y-%m-%d %H:%M}"  # as the timeline has it


def utterances(record: StudyRecord, stays: Sequence[Stay]) -> int:
    """Training utterances seen by all trials but twins, and those of the runs under fresh seeds that have begun."""
    of_trials = sum(trial.last[0] for trial in record.trials if trial.last and not trial.is_twin)
    budgets = {stay.number: stay.budget for stay in stays if run_of(stay.number) is not None}
    return of_trials + sum(budgets.values())


def next_steps(study: str, task: str, runs: Path) -> str:
    """The lines that use a finished study, to be copied, as HTML."""
    best = runs / study / "best"
    commands = [
        f"sp-search export task={task} study={shlex.quote(study)} runs={shlex.quote(str(runs))} to=my-{task}",
        f"sp-search predict prompt={shlex.quote(str(best))} input=units.txt",
    ]
    python = [
        "import sp_search",
        f"prompt = sp_search.load({str(best)!r})",
        'print(prompt.predict("71 12 57"))',
    ]
    return (
        "<h3>What next</h3>"
        "<p>Copy the winner into a folder of its own, answer a file of units, or answer from Python:</p>"
        f"<pre><code>{text(chr(10).join(commands))}</code></pre><pre><code>{text(chr(10).join(python))}</code></pre>"
    )


def _of_summary(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    best = summary["best"]
    return [
        ("winning setting", ", ".join(f"{name} {short(value)}" for name, value in best["params"].items())),
        ("the answer's size", f"{best['trained_parameters']:,} trained parameters, {best['stored_bytes']:,} bytes"),
        ("trials", ", ".join(f"{count} {state}" for state, count in summary["trials"].items())),
    ]


def _time(summary: Mapping[str, Any], prices: Prices | None) -> list[tuple[str, str]]:
    """Wall time, device time and, where prices are given, money: a device costs while its worker lives."""
    trained_s, share = summary["trial_s"], summary.get("engine_share") or 1.0
    found = [("time", f"{_clock(summary['wall_s'])}, {_clock(trained_s)} of it computing, summed over devices")]
    if prices is None:
        return found
    lived_s = summary.get("device_s") or {OTHER: trained_s / share}  # summaries of earlier versions lack it
    return [*found, ("cost", f"{prices.cost(lived_s):,.2f} at {prices} an hour of a device")]


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
