"""The winner of a study as a model: what is logged beside its run, and what its version in the registry says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sp_search.metrics.tally import Tally
from sp_search.tracking.store.champion import Standing
from sp_search.tracking.store.schema import PREFIX, as_text

MODEL_NAME = "best"
"""Of the winner among the models of its study's run: it is `runs:/RUN/best`."""
_NOT_IN_A_NAME = re.compile(r"[/:%\"'\\]+")


@dataclass(frozen=True)
class WinnerModel:
    """The winner, beside the files of its folder."""

    digest: str  # sha256 of its tensors, hex: the same again is the same version
    registered_as: str  # one name a task and corpus, whatever LM and study: its versions compete
    study: str
    params: Mapping[str, str]  # the setting that won
    metrics: Mapping[str, float]  # valid_* and test_*
    standing: Standing
    description: str  # Markdown

    @property
    def tags(self) -> dict[str, str]:
        """Of the logged model and of the version."""
        standing = self.standing
        told = {
            "digest": self.digest,
            "study": self.study,
            "metric": standing.metric,
            "data_fingerprint": standing.data_fingerprint,
            "value": standing.value,
            "low": standing.low,
            "high": standing.high,
        }
        return {f"{PREFIX}{key}": as_text(value) for key, value in told.items()}


def standing_of(tags: Mapping[str, str], tally: Tally | None) -> Standing | None:
    """What the tags of a version say of how good it is; None for one that this program did not make."""
    try:
        value, low, high = (float(tags[f"{PREFIX}{key}"]) for key in ("value", "low", "high"))
        return Standing(tags[f"{PREFIX}metric"], tags[f"{PREFIX}data_fingerprint"], value, low, high, tally)
    except (KeyError, ValueError):
        return None


def winner_of(summary: Mapping[str, Any], description: str) -> dict[str, Any]:
    """What the spool keeps of a summary for the model; `read_winner` makes the record of it."""
    best, metric = summary["best"], summary["metric"]
    low, high = best["intervals"][metric]
    metrics = {f"{split}_{name}": value for split in ("valid", "test") for name, value in best[split].items()}
    standing = Standing(metric, summary["data"]["fingerprint"], best["test"][metric], low, high)
    return {
        "registered_as": _NOT_IN_A_NAME.sub("-", f"sp-search-{summary['task']}-{summary['data']['name']}"),
        "study": summary["study"],
        "params": {name: as_text(value) for name, value in best["params"].items()},
        "metrics": {name: value for name, value in metrics.items() if value is not None},
        "standing": {name: value for name, value in vars(standing).items() if name != "tally"},
        "description": description,
    }


def read_winner(data: Mapping[str, Any], tally: Tally | None) -> WinnerModel:
    """The record of what the spool keeps.

    Raises:
        KeyError, TypeError: another version's spool.
    """
    kept = {name: data[name] for name in ("digest", "registered_as", "study", "params", "description")}
    metrics = {name: float(value) for name, value in data["metrics"].items()}
    return WinnerModel(**kept, metrics=metrics, standing=Standing(**data["standing"], tally=tally))
