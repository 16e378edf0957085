"""What a prompt must beat: naive Bayes where there is a class an answer, else training's most frequent answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sp_search.metrics.accuracy import Answer
from sp_search.metrics.naive_bayes import naive_bayes_answers
from sp_search.tasks.registry import Task
from sp_search.types import Split


def baseline_name(task: Task) -> str:
    """What a task's baseline is called."""
    return "naive Bayes" if task.slots else "most frequent answer"


def baseline_answers(task: Task, train: Split, test: Split) -> Sequence[Answer]:
    """Fit a task's baseline on one split and answer another."""
    return naive_bayes_answers(train, test) if task.slots else most_frequent_answers(train, test)


def most_frequent_answers(train: Split, test: Split) -> list[Answer]:
    """The answer that training has most often, for every utterance; of equals the one seen first."""
    ((answer, _),) = Counter(train.answers).most_common(1)
    return [answer] * len(test)
