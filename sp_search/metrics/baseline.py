"""What a prompt must beat: naive Bayes where there is a class an answer, else training's most frequent answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sp_search.metrics.accuracy import Answer
from sp_search.metrics.naive_bayes import NaiveBayes, unit_ids
from sp_search.tasks.registry import Task
from sp_search.types import Split


def baseline_name(task: Task) -> str:
    """What a task's baseline is called."""
    return "naive Bayes" if task.slots else "most frequent answer"


@dataclass(frozen=True)
class Baseline:
    """A baseline's answers to a split, and what they cost."""

    answers: Sequence[Answer]
    trained_parameters: int
    stored_bytes: int
    train_s: float


def fitted_baseline(task: Task, train: Split, test: Split) -> Baseline:
    """Fit a task's baseline on one split and answer another."""
    began = time.perf_counter()
    if not task.slots:
        answers = most_frequent_answers(train, test)
        stored = len(" ".join(answers[0]).encode())
        return Baseline(answers, 0, stored, time.perf_counter() - began)
    model = NaiveBayes(train, unit_ids(train, test))
    took = time.perf_counter() - began
    return Baseline(model.answers(test), model.parameters, model.stored_bytes, took)


def baseline_answers(task: Task, train: Split, test: Split) -> Sequence[Answer]:
    """The answers of a task's baseline, fitted on one split, to another."""
    return fitted_baseline(task, train, test).answers


def most_frequent_answers(train: Split, test: Split) -> list[Answer]:
    """The answer that training has most often, for every utterance; of equals the one seen first."""
    ((answer, _),) = Counter(train.answers).most_common(1)
    return [answer] * len(test)
