"""The rivals beside a search: fitted before its first trial, and kept in the study's folder for the next start."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sp_search.engine.trial.task_data import TaskData
from sp_search.errors import CheckpointError
from sp_search.files.paths import is_there
from sp_search.metrics.measures import measure
from sp_search.rivals.choose import fit_rivals
from sp_search.rivals.file import load_rivals, save_rivals
from sp_search.rivals.rival import Rival
from sp_search.search.run.answers import RivalMember
from sp_search.types import RIVAL_FILE, Member

KEPT = Path("rival")
"""Where they lie below the study's folder."""

HEARD_SHARE, MOST_ANSWERS = 0.05, 5_000
"""A rival is a member where answers are written, if training has the answers of this share of valid, and no more
different answers than that: each symbol costs a sum over all of them."""


def rivals_of_study(folder: Path, data: TaskData, tell: Callable[[str], None]) -> tuple[Rival, ...]:
    """The rivals of a study, the strongest on valid first.

    Args:
        folder: of the study.
        data: the corpus and its task.
        tell: takes a line: what they come to on valid and how long that took, or what is wrong with those kept.
    """
    began = time.perf_counter()
    about = {"data": data.corpus.fingerprint, "task": data.task.name}
    rivals = _kept(folder / KEPT / RIVAL_FILE, about, tell)
    how = "read from the study"
    if rivals is None:
        splits = data.corpus.splits
        rivals = fit_rivals(data.task, splits)
        save_rivals(folder / KEPT / RIVAL_FILE, rivals, about)
        how = f"fitted in {time.perf_counter() - began:.0f} s on one core"
    tell(f"rivals, valid {data.task.decides.replace('_', ' ')}: {_on_valid(rivals, data)}; {how}")
    return tuple(rivals)


def _kept(path: Path, about: dict[str, str], tell: Callable[[str], None]) -> Sequence[Rival] | None:
    """Those that an earlier start has kept; None where there are none of this corpus and task."""
    if not is_there(path):
        return None
    try:
        rivals, of = load_rivals(path)
    except CheckpointError as error:
        tell(f"{error}; they are fitted again")
        return None
    return rivals if of == about else None


def _on_valid(rivals: Sequence[Rival], data: TaskData) -> str:
    valid, decides = data.corpus.splits["valid"], data.task.decides
    values = [measure([decides], rival.answers(valid), valid.answers)[decides].value for rival in rivals]
    return ", ".join(f"{rival.name} {value:.4f}" for rival, value in zip(rivals, values, strict=True))


def rivals_as_members(rivals: Sequence[Rival], folder: Path, data: TaskData) -> list[RivalMember]:
    """The rivals that may answer among prompts: all, or the strongest alone where answers are written.

    Args:
        rivals: those of the study, the strongest first.
        folder: of the study, where they are kept.
        data: the corpus and its task.

    Returns:
        None of them where too few of valid's written answers are known for a rival to be of use.
    """
    if data.task.decoding == "best":
        return [_member(rival, folder, data, recalls=False) for rival in rivals]
    return [_member(rivals[0], folder, data, recalls=True)] if _knows_some(data) else []


def _member(rival: Rival, folder: Path, data: TaskData, *, recalls: bool) -> RivalMember:
    legal = [data.space.words(answer, data.task) for answer in data.space.answers]
    splits = {name: data.corpus.splits[name] for name in ("valid", "test")}
    params = dict(rival.settings.params())
    return RivalMember(
        log_probs={name: rival.scores(split, legal) for name, split in splits.items()},
        recalls=recalls,
        member=Member(share=1.0, trial=0, seed=0, params=params, budget=0, state=folder / KEPT),
        facts={
            "method": rival.settings.method,
            "trained_parameters": rival.trained_parameters,
            "stored_bytes": rival.stored_bytes,
        },
    )


def _knows_some(data: TaskData) -> bool:
    """Whether training has the answers of some of valid, in a table of answers that is not too large."""
    valid, known = data.corpus.splits["valid"], set(data.corpus.splits["train"].answers)
    heard = sum(answer in known for answer in valid.answers) / len(valid)
    return heard >= HEARD_SHARE and len(known) <= MOST_ANSWERS
