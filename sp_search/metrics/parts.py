"""Sentences heard before and new ones: a written answer that training has can be known by heart, another can not.

Where answers are written, the utterances of valid and test fall into two parts by whether training has their answer.
Each metric then has a value over each part, under the metric's name and the part's: `char_accuracy_new`.

N utterances
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sp_search.metrics.accuracy import Answer
from sp_search.metrics.tally import Tally
from sp_search.tasks.registry import Task
from sp_search.types import Split

HEARD, NEW = "heard", "new"
ENOUGH = 50
"""New sentences that valid must have for them to decide; over fewer a metric moves too much by chance."""

Known = frozenset[Answer]
"""Training's answers; empty where a corpus isn't parted."""


def known_answers(task: Task, splits: Mapping[str, Split]) -> Known:
    """Training's answers, if they part the utterances of valid and test.

    They don't where the answer is chosen among them, nor where all of valid and test lies in one part.
    """
    if task.decoding == "best":
        return frozenset()
    known = frozenset(splits["train"].answers)
    asked = [answer in known for name in ("valid", "test") for answer in splits[name].answers]
    return known if any(asked) and not all(asked) else frozenset()


def is_new(answers: Sequence[Answer], known: Known) -> npt.NDArray[np.bool_]:
    """(N,): True where training lacks the answer."""
    return np.array([answer not in known for answer in answers], dtype=np.bool_)


def part_sizes(answers: Sequence[Answer], known: Known) -> dict[str, int]:
    """How many utterances of a split each part has; empty where the corpus isn't parted."""
    if not known:
        return {}
    new = int(is_new(answers, known).sum())
    return {HEARD: len(answers) - new, NEW: new}


def with_parts(tallies: Mapping[str, Tally], answers: Sequence[Answer], known: Known) -> dict[str, Tally]:
    """Metrics of a split, and behind them the same over each part that has something to measure.

    Args:
        tallies: by name, each over the N utterances of the split.
        answers: N, those that were wanted.
        known: as `known_answers` gives them for the corpus.
    """
    found = dict(tallies)
    if not known:
        return found
    new = is_new(answers, known)
    for part, chosen in ((HEARD, ~new), (NEW, new)):
        found |= {
            f"{name}_{part}": Tally(tally.found[chosen], tally.total[chosen])
            for name, tally in tallies.items()
            if tally.total[chosen].any()
        }
    return found


def draw(answers: Sequence[Answer], known: Known, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Which utterances a sample of a split has, in their order; of a parted one it has both parts in proportion.

    Of new sentences, which may decide, it has no fewer than ENOUGH, as far as they are there and are half of it.

    Args:
        answers: N, those of the split.
        known: as `known_answers` gives them for the corpus.
        count: utterances drawn, below N.
        seed: of the draw.
    """
    order = np.random.default_rng(seed).permutation(len(answers))
    new = is_new([answers[i] for i in order], known)
    if not known or new.all() or not new.any():
        return np.sort(order[:count])
    least = min(ENOUGH, -(-count // 2))
    share = min(max(round(count * float(new.mean())), least), int(new.sum()))
    heard = min(count - share, int((~new).sum()))
    return np.sort(np.concatenate([order[new][: count - heard], order[~new][:heard]]))


def deciding(task: Task, splits: Mapping[str, Split], known: Known) -> str:
    """The metric by which a search on a corpus chooses.

    New sentences decide where valid has enough of them, and test some, so that the winner can be measured on them;
    else the whole of valid does.
    """
    sizes = {name: part_sizes(splits[name].answers, known) for name in ("valid", "test")}
    if known and sizes["valid"][NEW] >= ENOUGH and sizes["test"][NEW]:
        return f"{task.decides}_{NEW}"
    return task.decides


def said(splits: Mapping[str, Split], known: Known, decides: str) -> str:
    """A line on both parts and on what decides; empty where the corpus isn't parted."""
    if not known:
        return ""
    sizes = (f"{name} has {_shown(part_sizes(splits[name].answers, known))}" for name in ("valid", "test"))
    return f"sentences: {', '.join(sizes)}; {decides} decides"


def _shown(sizes: Mapping[str, int]) -> str:
    return f"{sizes[HEARD]:,} that training has and {sizes[NEW]:,} new ones"
