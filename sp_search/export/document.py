"""The document of an exported folder, checked for what its readers need: somebody may have edited it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Tensor

from sp_search.engine.runtime.device import DTYPES, DtypeName
from sp_search.errors import CheckpointError
from sp_search.prompts.file import DOCUMENT, load_prompt
from sp_search.rivals.settings import is_rival

FORMAT = 3
NAMED = {"name": str, "fingerprint": str}
ANSWERING = {
    "task": str,
    "answers": {"answer_format": str, "decoding": str, "max_answer": int},
    "label_space": {"symbols": [str], "symbol_counts": [int], "answers": [[int]], "answer_counts": [int]},
    "lm": NAMED,
    "data": NAMED,
    "dictionary_fingerprint": str,
    "members": [{"share": float, "params": {}}],
    "metrics": {},
    "versions": {"python": str, "mlflow": str},
}
"""What a document says of how it answers: a type for each value, in the same objects and lists."""
LARGEST = 2**53
"""Whole numbers up to here are the same as floats."""
MAY_SAY = {"training": {"dtype": str}}
"""What an older one does not say."""
OF_A_RUN = {"verbalizer": {"units": [int]}}
"""What it says of a member that the engine trained."""
TRAINING = {"training": {"batch_size": int, "stream_seed": int}, "facts": {}}
OF_A_COURSE = {"seed": int, "budget": int, "segments": [[int]]}
"""What it says of its training, and of that of such a member."""


def load_export(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of an exported folder and its document.

    Raises:
        CheckpointError: as `load_prompt`; or the document is of another version, or lacks something.
    """
    named, document = load_prompt(folder)
    if (got := document.get("format")) != FORMAT:
        raise CheckpointError(
            f"{folder}: expected an exported prompt of format {FORMAT}, got {got}; export it again with this version"
        )
    _check(folder, document, ANSWERING, OF_A_RUN)
    _check(folder, document, {name: said for name, said in MAY_SAY.items() if name in document}, {})
    answers, symbols = document["label_space"]["answers"], len(document["label_space"]["symbols"])
    chooses = document["answers"]["decoding"] in ("best", "legal")
    fault = "answers to choose from, got none" if chooses and not answers else ""
    if not all(0 <= symbol < symbols for answer in answers for symbol in answer):
        fault = f"numbers of the {symbols} symbols, got another one"
    if fault:
        raise CheckpointError(f"{folder / DOCUMENT}: label_space.answers: expected {fault}; export it again")
    return named, document


def check_training(folder: Path, document: Mapping[str, Any]) -> None:
    """Whether a document says what it takes to train its members again.

    Raises:
        CheckpointError: a value is missing or of another type; the first is named.
    """
    _check(folder, document, TRAINING, OF_A_COURSE)


def trained_in(document: Mapping[str, Any]) -> DtypeName:
    """The arithmetic that an export was trained in; auto for one of before it was recorded.

    Raises:
        CheckpointError: it is none that there is.
    """
    found: DtypeName = document.get("training", {}).get("dtype", "auto")
    if found != "auto" and found not in DTYPES:
        raise CheckpointError(
            f"{DOCUMENT}: training.dtype: expected {' or '.join(DTYPES)}, got {found!r:.40}; export it again"
        )
    return found


def _check(folder: Path, document: Mapping[str, Any], shape: Mapping[str, Any], of_a_run: Mapping[str, Any]) -> None:
    members = document.get("members")
    runs = [one for one in members if not _is_rival(one)] if isinstance(members, list) else []
    faults = chain(_faults(document, shape, ""), _faults({"members": runs}, {"members": [of_a_run]}, ""))
    if fault := next(faults, ""):
        raise CheckpointError(f"{folder / DOCUMENT}: {fault}; export it again")


def _is_rival(member: Any) -> bool:
    params = member.get("params") if isinstance(member, Mapping) else None
    return isinstance(params, Mapping) and isinstance(params.get("method", ""), str) and is_rival(params)


def _faults(value: Any, shape: Any, place: str) -> Iterator[str]:
    if isinstance(shape, Mapping):
        if not isinstance(value, Mapping):
            yield f"{place}: expected an object, got {value!r:.40}"
            return
        for key, inner in shape.items():
            at = f"{place}.{key}".lstrip(".")
            yield from _faults(value[key], inner, at) if key in value else [f"{at}: expected a value, got none"]
    elif isinstance(shape, Sequence):
        if not isinstance(value, list):
            yield f"{place}: expected a list, got {value!r:.40}"
            return
        for item in value:
            yield from _faults(item, shape[0], place)
    elif not _is_of(value, shape):
        kind = {str: "text", int: "a whole number", float: "a number"}[shape]
        yield f"{place}: expected {kind}, got {value!r:.40}"


def _is_of(value: Any, kind: type) -> bool:
    if kind is str:
        return isinstance(value, str)
    is_number = type(value) is int or (kind is float and type(value) is float)
    return is_number and -LARGEST <= value <= LARGEST  # NaN is not
