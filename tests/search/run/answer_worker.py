"""A worker that answers by made-up scores."""

from types import SimpleNamespace

import numpy as np

from sp_search.metrics.tally import Tally
from sp_search.search.run.answers import RivalMember, greedy_answers
from sp_search.types import Answered, Member

EVENTS, CHOICES = 60, 4


def leaning(seed, skill=1.0):
    """Log-probabilities that lean to choice 0, which is right everywhere, with errors of their own."""
    scores = np.random.default_rng(seed).normal(size=(EVENTS, CHOICES)).astype(np.float32)
    scores[:, 0] += skill
    return scores


def slots_of(*workers):
    """Of workers that answer at once."""
    return SimpleNamespace(workers=list(workers), all_of=list)


class Worker:
    """Knows the scores of every run by its number, and remembers what it was asked to answer."""

    def __init__(self, skills):
        self.skills, self.answered = skills, []
        self.scores = SimpleNamespace(remote=lambda request, split: self.scored(request.number, of=split))
        self.events = SimpleNamespace(remote=lambda split: self.right_ones(split))
        self.answer = SimpleNamespace(remote=self.answers)

    def scored(self, number, of="valid"):
        assert of == "valid", "nothing is chosen by test"
        return leaning(number, self.skills[number])

    def right_ones(self, split):
        assert split == "valid", "nothing is chosen by test"
        return np.zeros(EVENTS, dtype=np.int64), np.arange(EVENTS)

    def answers(self, members, split, given):
        self.answered.append((tuple(request.number for request, _ in members), split))
        total = sum(share * self.scored(request.number) for request, share in members)
        total = sum((share * scores for scores, share in given), start=total)
        hits = (total.argmax(-1) == 0).astype(float)
        told = {
            "metrics": {"accuracy": float(hits.mean())},
            "intervals": {"accuracy": (0.1, 0.9)},
            "tally": Tally(hits, np.ones(EVENTS)),
            "answers": [Answered((split,), 0.5, None)] * EVENTS,
            "train_s": 2.0 * len(members),
            "utterances_per_s": 100.0,
        }
        return told, [{"method": "prompt", "trained_parameters": 7, "stored_bytes": 28}] * len(members)


RUNS = {0: 0.7, 1: 0.6, 1_000_001: 0.8, 1_001_001: 0.9, 2_000_001: 1.1, 2_000_002: 1.0}
"""Skill by number: two trials, a confirm run of each, two final runs of trial 0."""


def chosen_answers(*of):
    """The end of every greedy choice."""
    return {name: steps[-1] for name, steps in greedy_answers(*of).items()}


def rival(skill=1.5, *, recalls=False, method="ngram", seed=99):
    scores = leaning(seed, skill)
    member = Member(share=1.0, trial=0, seed=0, params={"method": method}, budget=0, state="rival")
    facts = {"method": method, "trained_parameters": 100, "stored_bytes": 400}
    return RivalMember({"valid": scores, "test": scores}, recalls, member, facts)
