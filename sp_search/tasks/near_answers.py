"""Answers that training has but for capitals or Unicode's form: they are counted as wrong, so it is said."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from sp_search.types import Split


def nearly_known(split: Split, training: Iterable[tuple[str, ...]]) -> str:
    """A line for stderr on answers that no trial can give, though training has nearly the same ones; "" for none.

    Args:
        split: whose answers are looked at.
        training: the answers that training has, in words.
    """
    known = set(training)
    folded = {_folded(answer): answer for answer in known}
    near = [
        (answer, folded[key])
        for answer in split.answers
        if answer not in known and (key := _folded(answer)) in folded
    ]
    if not near:
        return ""
    got, wanted = (" ".join(answer) for answer in near[0])
    return (
        f"{split.name}: {len(near):,} answers differ from training's by capitals or Unicode form alone, such as "
        f"{got!r} for {wanted!r}; they are counted as wrong: write both alike"
    )


def _folded(answer: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", word).casefold()) for word in answer)
