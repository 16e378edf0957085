"""What a search came to: the answers that it leaves, each measured, and the winning setting over its seeds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from sp_search.files.write import write_text
from sp_search.rivals.settings import RIVALS
from sp_search.search.run.answers import Measured
from sp_search.search.study.trials import PARAMS
from sp_search.types import Member

BY_CHOICE = ("smallest", "all", "prompts", "single")
"""Names of answers, in the order of export: the smallest one that is good enough, where that is asked for; states
with a rival among them; states alone; one state."""


@dataclass(frozen=True)
class Finished:
    """A search at its end."""

    winner: FrozenTrial  # whose setting was trained at the end
    answers: Mapping[str, Measured]  # by the names above, those that there are
    seeds: Sequence[Measured]  # the winning setting, a run under each fresh seed

    @property
    def best(self) -> Measured:
        """What is exported."""
        return next(self.answers[name] for name in BY_CHOICE if name in self.answers)

    def to_json(self) -> dict[str, Any]:
        """As the summary has it."""
        return {
            "best": {
                "trial": self.winner.number,
                "params": dict(self.winner.user_attrs[PARAMS]),
                "seeds": [run.members[0].seed for run in self.seeds],
                **_told(self.best),
                "method": self.winner.user_attrs[PARAMS].get("method", "prompt"),  # of the study, whoever answers
            },
            "answers": {name: _told(of_name) for name, of_name in self.answers.items()},
            "setting": {split: self._means(split) for split in ("valid", "test")} | {"runs": self._runs()},
        }

    def _runs(self) -> list[dict[str, Any]]:
        """The winning setting's metrics under each seed."""
        return [{"seed": run.members[0].seed, **{s: dict(m) for s, m in run.metrics.items()}} for run in self.seeds]

    def _means(self, split: str) -> dict[str, float]:
        """The winning setting's metrics, means over its seeds."""
        of_seeds = [run.metrics[split] for run in self.seeds]
        return {name: math.fsum(m[name] for m in of_seeds) / len(of_seeds) for name in of_seeds[0]}


def write_summary(folder: Path, summary: Mapping[str, Any]) -> Path:
    """Write the summary of a finished study into its folder, whole or not at all. Returns its path."""
    path = folder / "summary.json"
    write_text(path, json.dumps(summary, indent=2) + "\n", durable=True)
    return path


def _told(one: Measured) -> dict[str, Any]:
    return {
        "members": [_member(member) for member in one.members],
        **{split: dict(metrics) for split, metrics in one.metrics.items()},
        "intervals": dict(one.intervals),
        **{name: one.facts[name] for name in ("method", "trained_parameters", "stored_bytes")},
        "train_s": one.train_s,
        "utterances_per_s": one.utterances_per_s,
    }


def _member(member: Member) -> dict[str, Any]:
    """A member's method and share; its trial and seed, where it has them: a rival's fit is drawn by none."""
    method = member.params.get("method", "prompt")
    run = {"trial": None, "seed": None} if method in RIVALS else {"trial": member.trial, "seed": member.seed}
    return {"method": method, **run, "share": member.share}
