"""Builds the document of an export and the summary of a finished search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from sp_search.config import Settings
from sp_search.engine.train.factory import TrainerSpec
from sp_search.engine.trial.task_data import TaskData
from sp_search.export.folder import of_task
from sp_search.files.write import write_text
from sp_search.lm.unit_lm import UnitLM
from sp_search.metrics.parts import part_sizes
from sp_search.search.study.study import StudyIdentity
from sp_search.tracking.base.provenance import git_state, versions
from sp_search.units.repeats import repeats_share


class MeasuredStates(Protocol):
    """Trained states and what they came to."""

    @property
    def metrics(self) -> Mapping[str, Mapping[str, float]]: ...  # noqa: D102
    @property
    def intervals(self) -> Mapping[str, tuple[float, float]]: ...  # noqa: D102
    @property
    def facts(self) -> Mapping[str, Any]: ...  # noqa: D102


def export_document(
    identity: StudyIdentity,
    lm: UnitLM,
    data: TaskData,
    measured: MeasuredStates,
    config: Settings,
    recipe: TrainerSpec,
) -> Mapping[str, Any]:
    """What an exported folder says of its members, beside what each of them is."""
    git, given = git_state(), recipe.lm_tokens
    tokens = {"tokens": asdict(given)} if given.described else {}
    own = {} if config.lm.path is None else {"path": str(config.lm.path.absolute())}
    return {
        **of_task(data.task, data.space),
        "study": config.study,
        "lm": {"name": identity.lm, "fingerprint": lm.fingerprint, **tokens, **own},
        "data": {"name": identity.data, "fingerprint": identity.data_fingerprint},
        "dictionary_fingerprint": data.dictionary.fingerprint,
        "units": {"repeats": repeats_share(data.train)},
        "metrics": {split: dict(metrics) for split, metrics in measured.metrics.items()},
        "intervals": dict(measured.intervals),
        "parts": parts_by_split(data),
        "facts": dict(measured.facts),
        "training": {
            "batch_size": config.schedule.batch_size,
            "stream_seed": config.schedule.seed,
            "dtype": recipe.dtype,
        },
        "example": _first_utterance(data),
        "versions": versions(),
        "git": {"sha": git.sha, "dirty": git.dirty},
    }


def _first_utterance(data: TaskData) -> str:
    """The units of valid's first utterance as a line: what an input looks like."""
    units = data.corpus.splits["valid"].source(0)
    return " ".join(data.dictionary.symbol(int(unit)) for unit in units)


def parts_by_split(data: TaskData) -> dict[str, dict[str, int]]:
    """Utterances of valid and test by part, heard before or new; empty where the corpus isn't parted."""
    splits = data.corpus.splits
    return {name: part_sizes(splits[name].answers, data.known) for name in ("valid", "test")} if data.known else {}


def write_summary(folder: Path, summary: Mapping[str, Any]) -> Path:
    """Write the summary of a finished study into its folder, whole or not at all. Returns its path."""
    path = folder / "summary.json"
    write_text(path, json.dumps(summary, indent=2) + "\n", durable=True)
    return path
