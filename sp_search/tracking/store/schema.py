"""The form of a study in MLflow: one parent run, one child run per trial, and the tags by which they are found.

    experiment  sp_search/<task>
    parent      the study, with its name; tags: the search's own information, versions, commit, host
    child       a trial; params: only the searched ones; tags: the identity of the study, number, role, seed

A run is identified by the tags study_id and data_fingerprint, and a child also by trial. study_id distinguishes two
people's studies of the same name, and stays when a study is renamed. It comes from the search, or is created with the
spool.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sp_search.errors import ConfigError
from sp_search.tracking.base.provenance import git_state, host, versions
from sp_search.types import Corpus
from sp_search.units.manifest import corpus_fingerprint

PREFIX = "sp_search."
REQUIRED = ("study", "task", "data_fingerprint")
IDENTITY = ("study_id", "data_fingerprint")
SETTING = f"{PREFIX}best."
"""What tags of the winner's setting begin with."""
WINNER = f"{PREFIX}best_trial"
"""The tag that has the trial whose setting won."""
_ON_CHILDREN = ("study", *IDENTITY, "task", "data", "lm", "lm_fingerprint", "git_sha", "git_dirty")
PARENT_TAG = "mlflow.parentRunId"
TABLES_TAG = "mlflow.loggedArtifacts"
RUN_TAG = f"{PREFIX}run_id"
"""Of a logged model: the run of the study that it won."""
STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAIL": "FAILED"}
NAME_TAG, NOTE_TAG = "mlflow.runName", "mlflow.note.content"
KIND_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Of an experiment: MLflow shows its runs, not the traces of a language model, of which there are none."""
_DIGEST_CHARACTERS = 12  # of a fingerprint, as everywhere; MLflow takes 36
_SHOWN_PARAMETER = 6000  # characters that MLflow keeps


@dataclass(frozen=True)
class DatasetUse:
    """A split of a corpus as the input of a study's run."""

    name: str  # corpus and split
    digest: str  # of its units and labels
    context: str  # train, valid or test
    source: Mapping[str, Any]  # the corpus that it belongs to
    profile: Mapping[str, Any]  # its size


def datasets_of(corpus: Corpus) -> list[DatasetUse]:
    """The splits of a corpus as inputs."""
    source = {"corpus": corpus.name, "fingerprint": corpus.fingerprint}
    return [
        DatasetUse(
            name=f"{corpus.name} {name}",
            digest=corpus_fingerprint({name: split})[:_DIGEST_CHARACTERS],
            context=name,
            source=source,
            profile={"num_rows": len(split), "num_units": len(split.tokens)},
        )
        for name, split in corpus.splits.items()
    ]


def study_tags(info: Mapping[str, Any], study_id: str) -> dict[str, str]:
    """All tags of the parent run.

    Raises:
        ConfigError: a value that identifies a study is missing, or its id can't be used in a query.
    """
    missing = [key for key in REQUIRED if not info.get(key)]
    if missing:
        raise ConfigError(f"study info: expected {', '.join(REQUIRED)}, got none of {', '.join(missing)}")
    told = {**info, "study_id": info.get("study_id") or study_id, "role": "study", "host": host()}
    if not str(told["study_id"]).replace("-", "").isalnum():
        raise ConfigError(f"study_id: expected letters, digits and -, got {told['study_id']!r}")
    told |= {f"git_{key}": value for key, value in asdict(git_state()).items()}
    told |= {f"version.{name}": version for name, version in versions().items()}
    return {f"{PREFIX}{key}": as_text(value) for key, value in told.items()} | _shown_by_mlflow(told["git_sha"])


def trial_tags(study: Mapping[str, str], number: int, tags: Mapping[str, Any]) -> dict[str, str]:
    """All tags of a child run.

    Args:
        study: the parent's tags.
        number: the trial, unique in its study.
        tags: role (search, confirm or final), seed, of_trial (the trial whose setting a run has), ...
    """
    own = {"role": "search", **tags, "trial": number}
    shared = {f"{PREFIX}{key}": study[f"{PREFIX}{key}"] for key in _ON_CHILDREN if f"{PREFIX}{key}" in study}
    seen = _shown_by_mlflow(study[f"{PREFIX}git_sha"])
    return shared | {f"{PREFIX}{key}": as_text(value) for key, value in own.items()} | seen


def trial_name(number: int, tags: Mapping[str, str]) -> str:
    """What the MLflow UI lists a child run as."""
    role = tags.get(f"{PREFIX}role")
    if role not in ("confirm", "final"):
        return f"trial {number}"
    return f"{role} of trial {tags.get(f'{PREFIX}of_trial', number)}"


def ended_name(name: str, state: str, utterances_seen: int, params: Mapping[str, Any], seed: Any = None) -> str:
    """What the MLflow UI lists a run as when it has ended: `trial 8 · pruned at 4,000 · prefix 137`.

    The list shows some 23 characters of it.

    Args:
        name: its name so far.
        state: COMPLETE, PRUNED or FAIL.
        utterances_seen: at its last report.
        params: the searched ones; the name has the position and the length of a prompt, or the n-grams.
        seed: of a run under a fresh seed.
    """
    ended = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(state, state.lower())
    setting = " ".join(as_text(params[key]) for key in ("position", "prompt_length") if key in params)
    setting = setting or (f"{params['ngrams']}-grams" if "ngrams" in params else "")
    drawn = "" if seed is None else f"seed {seed}"
    return " · ".join(part for part in (name, f"{ended} at {utterances_seen:,}", setting, drawn) if part)


def ranked_names(names: Mapping[int, str], order: Sequence[int], winner: int | None) -> dict[int, str]:
    """What the UI lists the trials of full budget as when the search has ended: `#2 winner · trial 8 · complete ...`.

    Args:
        names: of `ended_name`, by trial.
        order: the trials of full budget, the best on valid first.
        winner: the trial whose setting won under fresh seeds; it has a name of that too where a rung had stopped it.
    """
    found = {
        number: f"#{place}{' winner' * (number == winner)} · {names[number]}" for place, number in enumerate(order, 1)
    }
    if winner is not None and winner in names and winner not in found:
        found[winner] = f"winner · {names[winner]}"
    return found


def summary_points(summary: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Metrics and tags of the parent from a summary: best_*, rival_*, counts, times, the winner and its settings."""
    best, rival = summary.get("best") or {}, summary.get("baseline") or {}
    metrics = {f"trials_{key}": value for key, value in (summary.get("trials") or {}).items()}
    for split in ("valid", "test"):
        metrics |= {f"best_{split}_{name}": value for name, value in (best.get(split) or {}).items()}
        metrics |= {f"rival_{split}_{name}": value for name, value in (rival.get(split) or {}).items()}
    if (decides := summary.get("metric")) in best.get("valid", {}):
        metrics[f"valid_{decides}"] = best["valid"][decides]  # in the list's column, above that of its trials
    metrics |= {key: summary[key] for key in ("wall_s", "trial_s") if key in summary}
    metrics |= {key: best[key] for key in ("trained_parameters", "stored_bytes") if key in best}
    tags = {f"{SETTING}{name}": as_text(value) for name, value in (best.get("params") or {}).items()}
    if "trial" in best:
        tags[WINNER] = as_text(best["trial"])
    if rival:
        tags[f"{PREFIX}rival"] = rival["name"]
    return {name: float(value) for name, value in metrics.items() if isinstance(value, (int, float))}, tags


def table_tags(artifact: str) -> dict[str, str]:
    """The tag that marks an artifact of a run, `{"columns": [...], "data": [[...]]}`, as a table for MLflow."""
    return {TABLES_TAG: json.dumps([{"path": artifact, "type": "table"}])}


def as_text(value: Any) -> str:
    """A value as text for a tag or a parameter."""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, default=str) if isinstance(value, (Mapping, list, tuple)) else str(value)


def shown_parameter(value: Any) -> str:
    """The text of a parameter, cut to the length that MLflow accepts. The spool keeps all of it."""
    text = as_text(value)
    if len(text) <= _SHOWN_PARAMETER:
        return text
    note = f"... (cut, {len(text)} characters in all)"
    return text[: _SHOWN_PARAMETER - len(note)] + note


def _shown_by_mlflow(git_sha: str) -> dict[str, str]:
    """Tags that have columns in MLflow's run table."""
    return {"mlflow.user": _user(), "mlflow.source.name": "sp-search", "mlflow.source.git.commit": git_sha}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a passwd entry
        return "unknown"
