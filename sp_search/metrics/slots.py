"""Slot filling as SUPERB measures it (s3prl, `downstream/ctc/metric.py`): which slots, and what is in them.

An utterance's slots are (type, value) pairs in the order of speech; a type may occur more than once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sp_search.metrics.tally import Tally
from sp_search.metrics.wer import cer

Slot = tuple[str, str]
"""Its type, and its value: a text, not empty."""

_ByType = Mapping[str, Sequence[str]]
"""An utterance's values by type, types and values in the order of speech."""


def read_slots(text: str) -> list[Slot]:
    """The slots in a text of `B-TYPE value E-TYPE` and other words; one that is never closed is none.

    As SUPERB's code reads a text that isn't well formed: a value has at least one word, slots don't nest, and
    E-playlist_owner closes B-playlist too.
    """
    words, slots, at = text.split(), [], 0
    while at < len(words):
        kind = words[at][2:] if _is_mark(words[at], "B-") else None
        end = next((i for i in range(at + 2, len(words)) if kind and words[i].startswith(f"E-{kind}")), None)
        if kind and end:
            slots.append((kind, " ".join(_without_marks(words[at + 1 : end]))))
            at = end
        at += 1
    return slots


def slot_type_f1(predicted: Sequence[Sequence[Slot]], wanted: Sequence[Sequence[Slot]]) -> Tally:
    """The mean over utterances of F1 between the sets of slot types, 1 where both are empty."""
    return Tally.of([(_type_f1(p, w), 1) for p, w in _by_utterance(predicted, wanted)])


def slot_value_cer(predicted: Sequence[Sequence[Slot]], wanted: Sequence[Sequence[Slot]]) -> Tally:
    """Character errors over the characters of all wanted values.

    Each is held against the predicted value of its type that is nearest to it, or against nothing; predicted values
    that nobody wanted cost nothing. One deviation: SUPERB's code takes a nearest value with 100 times the wanted
    one's length in errors for nothing at all.

    Raises:
        DataError: no slot is wanted.
    """
    return Tally.of([_value_errors(p, w) for p, w in _by_utterance(predicted, wanted)])


def slot_edit_f1(predicted: Sequence[Sequence[Slot]], wanted: Sequence[Sequence[Slot]]) -> Tally:
    """F1 over whole slots of all utterances: 2 TP of 2 TP + FP + FN.

    A wanted value that is among the predicted ones of its type is a TP, else an FN, and an FP too where its type was
    predicted. Values of a type that nobody wanted are FPs ("full" in SUPERB's code, not "part"); a second prediction
    of a wanted type costs nothing.

    Raises:
        DataError: there are no slots on either side.
    """
    return Tally.of([_edits(p, w) for p, w in _by_utterance(predicted, wanted)])


def _by_utterance(
    predicted: Sequence[Sequence[Slot]], wanted: Sequence[Sequence[Slot]]
) -> list[tuple[_ByType, _ByType]]:
    return [(_by_type(p), _by_type(w)) for p, w in zip(predicted, wanted, strict=True)]


def _by_type(slots: Sequence[Slot]) -> _ByType:
    values = defaultdict(list)
    for kind, value in slots:
        values[kind].append(value)
    return dict(values)


def _type_f1(predicted: _ByType, wanted: _ByType) -> float:
    size = len(predicted) + len(wanted)
    return 2 * len(predicted.keys() & wanted.keys()) / size if size else 1.0


def _value_errors(predicted: _ByType, wanted: _ByType) -> tuple[float, float]:
    """Errors and length, in characters."""
    errors, length = 0.0, 0.0
    for kind, values in wanted.items():
        for value in values:
            guesses = predicted.get(kind, [""])
            compared = cer(guesses, [value] * len(guesses))
            errors += compared.found.min()
            length += compared.total[0]
    return errors, length


def _edits(predicted: _ByType, wanted: _ByType) -> tuple[float, float]:
    """2 TP, and 2 TP + FP + FN."""
    right = sum(value in predicted.get(kind, ()) for kind, values in wanted.items() for value in values)
    missed = sum(map(len, wanted.values())) - right
    substituted = sum(
        value not in predicted[kind] for kind in wanted.keys() & predicted.keys() for value in wanted[kind]
    )
    unwanted = sum(len(predicted[kind]) for kind in predicted.keys() - wanted.keys())
    return 2 * right, 2 * right + missed + substituted + unwanted


def _without_marks(words: Sequence[str]) -> list[str]:
    """A value without marks that strayed into it; a B- at its end and then an E- at its start stay, as in SUPERB."""
    closed = [word for i, word in enumerate(words) if i == len(words) - 1 or not _is_mark(word, "B-")]
    return [word for i, word in enumerate(closed) if i == 0 or not _is_mark(word, "E-")]


def _is_mark(word: str, sign: str) -> bool:
    return word.startswith(sign) and len(word) > len(sign)
