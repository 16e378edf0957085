"""The contract of a study: all settings that make its results comparable, recorded once and compared as a whole.

A search that is continued with any of them changed would average runs of two kinds. The number of trials and of
confirm runs may change, and so may everything that does not affect results (devices, workers, tracking, folders).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import optuna

from sp_search.errors import StudyError

BEGUN_AS = "begun_as"
"""The study's attribute that holds the record."""

FINGERPRINT, LONGEST = 12, 60
"""Characters of a fingerprint and of another value that a message shows."""

Contract = Mapping[str, Any]
"""Setting -> JSON value. None means not known yet; it is filled in from the record if the record has it."""


def begin_or_compare(study: optuna.Study, contract: Contract) -> dict[str, Any]:
    """Record the contract of a new study, or compare a continued study with its record.

    Args:
        study: new or continued.
        contract: of this start.

    Returns:
        The record: the contract, with open values as they were when the study began.

    Raises:
        StudyError: something differs; all differences are named.
    """
    ours = json.loads(json.dumps(contract))
    recorded: dict[str, Any] | None = study.user_attrs.get(BEGUN_AS)
    if recorded is None:
        if study.get_trials(deepcopy=False):
            raise StudyError(
                f"study {study.study_name}: expected a study that records what it was begun as, got one of an "
                f"earlier version; {_other(study)}"
            )
        study.set_user_attr(BEGUN_AS, ours)
        return dict(ours)
    differs = [key for key in {**recorded, **ours} if ours.get(key) not in (None, recorded.get(key))]
    if differs:
        began = ", ".join(_shown(key, recorded.get(key)) for key in differs)
        got = ", ".join(_shown(key, ours[key]) for key in differs)
        raise StudyError(
            f"study {study.study_name}: expected what it was begun with, {began}; got {got}; give that again, or "
            f"{_other(study)}"
        )
    return recorded


def contract_fingerprint(record: Contract) -> str:
    """sha256 of a record, hex. The saved states of its trials carry it."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _other(study: optuna.Study) -> str:
    return f"name another study (study=NAME warm_start={study.study_name} tries its best settings first)"


def _shown(key: str, value: Any) -> str:
    text = json.dumps(value) if isinstance(value, list | dict) else str(value)
    most = FINGERPRINT if key.endswith("_fingerprint") else LONGEST
    return f"{key.replace('_', ' ')} {text if len(text) <= most else text[:most] + '...'}"
