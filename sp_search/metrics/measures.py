"""The metrics by the names that tasks give them, each with what its confidence interval needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sp_search.metrics.accuracy import Answer, hits, slot_hits
from sp_search.metrics.slots import Slot, read_slots, slot_edit_f1, slot_type_f1, slot_value_cer
from sp_search.metrics.tally import Tally
from sp_search.metrics.wer import cer, wer

Measure = Callable[[Sequence[Answer], Sequence[Answer]], Tally]


def measure(names: Sequence[str], predicted: Sequence[Answer], wanted: Sequence[Answer]) -> dict[str, Tally]:
    """The named metrics of answers in words, an utterance an answer.

    Raises:
        DataError: nothing is there to measure, as slots where none is wanted.
    """
    return {name: MEASURES[name](predicted, wanted) for name in names}


def measure_slots(slots: Sequence[str], predicted: Sequence[Answer], wanted: Sequence[Answer]) -> dict[str, Tally]:
    """The accuracy of each label of answers that have a fixed number of them."""
    return {f"{slot}_accuracy": slot_hits(predicted, wanted, at) for at, slot in enumerate(slots)}


def with_intervals(tallies: Mapping[str, Tally]) -> dict[str, dict[str, float | tuple[float, float]]]:
    """Values and their 95 % confidence intervals by bootstrap over utterances, for a JSON."""
    return {
        "metrics": {name: tally.value for name, tally in tallies.items()},
        "intervals": {name: tally.interval() for name, tally in tallies.items()},
    }


def _texts(answers: Sequence[Answer]) -> list[str]:
    return [" ".join(answer) for answer in answers]


def _slots(answers: Sequence[Answer]) -> list[list[Slot]]:
    return [read_slots(text) for text in _texts(answers)]


def _char_accuracy(predicted: Sequence[Answer], wanted: Sequence[Answer]) -> Tally:
    """1 less the character error rate, so that larger is better; below 0 where errors outnumber characters."""
    errors = cer(_texts(predicted), _texts(wanted))
    return Tally(errors.total - errors.found, errors.total)


MEASURES: Mapping[str, Measure] = {
    "accuracy": hits,
    "char_accuracy": _char_accuracy,
    "cer": lambda predicted, wanted: cer(_texts(predicted), _texts(wanted)),
    "wer": lambda predicted, wanted: wer(_texts(predicted), _texts(wanted)),
    "slot_type_f1": lambda predicted, wanted: slot_type_f1(_slots(predicted), _slots(wanted)),
    "slot_value_cer": lambda predicted, wanted: slot_value_cer(_slots(predicted), _slots(wanted)),
    "slot_edit_f1": lambda predicted, wanted: slot_edit_f1(_slots(predicted), _slots(wanted)),
}
