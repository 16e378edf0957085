"""How good an exported prompt is on a labelled split, the cheap rivals beside it: a record that JSON can hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sp_search.cli.exported.prompts import LoadedPrompt
from sp_search.export.folder import task_of
from sp_search.export.predictor import Prediction, labelled_answers
from sp_search.metrics.accuracy import Answer
from sp_search.metrics.eer import eer_with_interval
from sp_search.metrics.measures import measure, measure_slots, with_intervals
from sp_search.metrics.parts import Known, deciding, known_answers, part_sizes, with_parts
from sp_search.rivals.choose import fit_rivals
from sp_search.rivals.measured import against
from sp_search.rivals.together import with_both
from sp_search.tasks.registry import Task
from sp_search.types import Corpus, Split


def evaluated(prompt: LoadedPrompt, corpus: Corpus, name: str) -> dict[str, Any]:
    """The metrics of a prompt and those of its rivals, with their 95 % confidence intervals.

    Args:
        prompt: that answers.
        corpus: in the units and with the answers of the prompt's task.
        name: of the split: train, valid or test.

    Raises:
        DataError: an utterance has no labels, or is longer than the LM has positions.
    """
    task, split = task_of(prompt.document), corpus.splits[name]
    wanted = labelled_answers(split)
    parted = known_answers(task, corpus.splits)
    found = list(prompt.predictor.predict(split))
    answers = [prediction.labels for prediction in found]
    return {
        "task": task.name,
        "data": {"name": corpus.name, "fingerprint": corpus.fingerprint},
        "split": name,
        "utterances": len(split),
        "parts": part_sizes(wanted, parted),
        **_measured(task, answers, wanted, parted),
        **_taken_by_score(found, wanted),
        **_rivals(task, corpus, split, answers, parted),
    }


def _measured(task: Task, found: Sequence[Answer], wanted: Sequence[Answer], parted: Known) -> dict[str, Any]:
    slots = task.slots if len(task.slots) > 1 else ()
    whole = measure(task.metrics, found, wanted) | measure_slots(slots, found, wanted)
    return with_intervals(with_parts(whole, wanted, parted))


def _rivals(task: Task, corpus: Corpus, split: Split, ours: Sequence[Answer], parted: Known) -> dict[str, Any]:
    """Each rival's metrics, and how far ours are ahead of it in the metric that decides."""
    decides, wanted, found = deciding(task, corpus.splits, parted), split.answers, []
    if decides not in (own := with_parts(measure(task.metrics, ours, wanted), wanted, parted)):
        decides = task.decides  # no new sentence is in this split
    for rival in with_both(fit_rivals(task, corpus.splits), task, corpus.splits):
        answers = rival.answers(split)
        theirs = with_parts(measure(task.metrics, answers, wanted), wanted, parted)
        told = {"name": rival.name, "settings": rival.params()}
        measured = _measured(task, answers, wanted, parted)
        found.append({**told, **measured, "against": against(rival.name, decides, own[decides], theirs[decides])})
    baseline, *others = found
    return {"baseline": baseline, "other_rivals": others}


def _taken_by_score(found: Sequence[Prediction], wanted: Sequence[Answer]) -> dict[str, Any]:
    scores = [prediction.score for prediction in found]
    right = [prediction.labels == answer for prediction, answer in zip(found, wanted, strict=True)]
    return eer_with_interval(np.array(scores), np.array(right))
