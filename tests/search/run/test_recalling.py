"""A rival that recalls whole answers among states that write: which weight it gets."""

from dataclasses import replace

import numpy as np
import pytest

from sp_search.metrics.tally import Tally
from tests.search.run.answer_worker import EVENTS, RUNS, Worker, chosen_answers, rival, slots_of


class Writer(Worker):
    """New sentences get worse with the weight of who recalls; all of them together are best at one weight."""

    def __init__(self, skills, lost, best):
        super().__init__(skills)
        self.lost, self.best = lost, best  # lost: misses among 60 new sentences, by weight

    def answers(self, members, split, given):
        told, facts = super().answers(members, split, given=())
        share = round(sum(weight for _, weight in given), 1)
        assert sum(own for _, own in members) + share == pytest.approx(1.0)
        hits = np.ones(EVENTS)
        hits[: self.lost[share]] = 0
        metrics = {"accuracy": 1 - abs(share - self.best), "accuracy_new": 1 - share}
        return {**told, "tally": Tally(hits, np.ones(EVENTS)), "metrics": metrics}, facts


@pytest.mark.parametrize(
    ("lost", "best", "share"),
    [
        ({0.0: 5, 0.1: 5, 0.2: 5, 0.3: 5, 0.4: 5, 0.5: 5}, 0.5, 0.5),
        ({0.0: 5, 0.1: 5, 0.2: 5, 0.3: 5, 0.4: 5, 0.5: 5}, 0.2, 0.2),
        ({0.0: 5, 0.1: 5, 0.2: 5, 0.3: 6, 0.4: 8, 0.5: 20}, 0.5, 0.4),  # 3 of 60 more: 1.76 standard errors behind
        ({0.0: 5, 0.1: 5, 0.2: 5, 0.3: 6, 0.4: 9, 0.5: 20}, 0.5, 0.3),  # 4 of 60: 2.05
        ({0.0: 5, 0.1: 9, 0.2: 9, 0.3: 9, 0.4: 9, 0.5: 20}, 0.5, None),
    ],
)
@pytest.mark.parametrize("metric", ["valid_accuracy", "valid_accuracy_new"])
def test_who_recalls_has_the_weight_that_is_best_on_all_and_costs_nothing_where_valid_decides(
    ended, lost, best, share, metric
):
    config = replace(ended.config, metric=metric)
    forms = chosen_answers(ended.states, [rival(recalls=True)], config, slots_of(Writer(RUNS, lost, best)))
    found = forms["all"]
    assert [weight for _, weight in found.rivals] == ([] if share is None else [share])
    assert [state for state, _ in found.states] == [state for state, _ in forms["prompts"].states]
    assert sum(member.share for member in found.members) == pytest.approx(1.0)
