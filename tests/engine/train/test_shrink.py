"""A trainer that is made smaller keeps no source states, halves its micro-batches, and trains the same."""

from tests.engine.trials import CHOOSING, add_all, assert_same, trained
from tests.tiny import tiny_trainer

UPDATES = 6


def test_a_smaller_trainer_trains_the_same_and_keeps_nothing(tmp_path):
    params = dict(enumerate(list(CHOOSING.values())[:2]))
    whole, small = (tiny_trainer(tokens_per_pass=400, source_cache_bytes=10**8) for _ in range(2))
    small.shrink()
    assert small.sizes()["tokens_per_pass"] == 200
    assert small.sizes()["source_cache_bytes"] == 0
    found = []
    for trainer, folder in ((whole, tmp_path / "whole"), (small, tmp_path / "small")):
        add_all(trainer, params)
        found.append(trained(trainer, list(params), UPDATES, folder))
    for number in params:
        assert_same(found[0][number], found[1][number])
    assert whole._source_cache.bytes > 0
    assert small._source_cache.bytes == 0


def test_it_shrinks_to_one_token_at_the_least():
    trainer = tiny_trainer(tokens_per_pass=1)
    trainer.shrink()
    assert trainer.sizes()["tokens_per_pass"] == 1
