"""The description of a study's run in MLflow, in Markdown: what it is, how good the winner is, how it is used."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sp_search.rivals.words import together


def opened_note(info: Mapping[str, Any]) -> str:
    """Of a study whose search runs.

    Args:
        info: study, task, and where they are known lm, data and trials.
    """
    about = "".join(f" {word} `{info[key]}`" for word, key in (("over the LM", "lm"), ("on", "data")) if key in info)
    trials = f", {info['trials']} trials in all" if "trials" in info else ""
    study = shlex.quote(str(info["study"]))
    return (
        f"A search of prompts for the task `{info['task']}`{about}{trials}. It has not ended yet.\n\n"
        f"How far it is: `sp-search status study={study}`. The runs below this one are its trials."
    )


def finished_note(summary: Mapping[str, Any]) -> str:
    """Of a study whose search has ended: the winner beside its rivals, and how it is used."""
    if not summary.get("answers"):
        return "A search that ended without a winner."
    lm, data = summary["lm"]["name"], summary["data"]["name"]
    counts = ", ".join(f"{count} {state}" for state, count in summary["trials"].items())
    verdicts = ", ".join(rival["against"]["verdict"] for rival in _rivals(summary))
    study = shlex.quote(summary["study"])
    return f"""A search of prompts for the task `{summary["task"]}` over the LM `{lm}` on `{data}` \
(trials: {counts}; {summary["wall_s"]:.0f} s).

{_table(summary)}

The winner {verdicts}. All numbers are of the test split, which was read once.

The page of the study is `report/index.html` under Artifacts, the winner is the logged model `best`, and the best \
prompt alone is in `single`. The runs below this one are the trials (`#1` is the best on valid at its full budget) \
and the runs of the best settings under fresh seeds.

```
sp-search export study={study} to=exports/{study}
sp-search predict prompt=exports/{study} lm={lm} input=units.txt
```
"""


def _table(summary: Mapping[str, Any]) -> str:
    metric, best, setting = summary["metric"], summary["best"], summary["setting"]
    seeds = len(best["seeds"])
    mean = "one seed" if seeds == 1 else f"mean of {seeds} seeds"
    rows = [
        (f"**the winner: {together([one['method'] for one in best['members']])}**", _measured(best, metric)),
        ("the best one alone", _measured(summary["answers"]["single"], metric)),
        (f"the setting of trial {best['trial']}, {mean}", f"{setting['test'][metric]:.4f} | "),
        *((f"{rival['name']}, without the LM", _measured(rival, metric)) for rival in _rivals(summary)),
    ]
    head = f"| answer | test {metric.replace('_', ' ')} | 95 % interval |\n| --- | ---: | --- |\n"
    return head + "\n".join(f"| {name} | {value} |" for name, value in rows)


def _measured(answer: Mapping[str, Any], metric: str) -> str:
    bounds: Sequence[float] = answer["intervals"][metric]
    return f"{answer['test'][metric]:.4f} | {bounds[0]:.4f} to {bounds[1]:.4f}"


def _rivals(summary: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The baseline first; a search that was made without rivals has none."""
    yield from [summary["baseline"]] if "baseline" in summary else []
    yield from summary.get("other_rivals", ())
