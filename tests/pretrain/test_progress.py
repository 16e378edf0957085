"""fairseq's statistics as lines for people."""

import json
import logging

from sp_search.pretrain.progress import Progress
from tests.pretrain.counting import Told


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def heard(clock, told, name, **statistics):
    """Let a progress hear a record as fairseq's progress bar logs it."""
    clock.progress.handle(logging.makeLogRecord({"name": name, "msg": json.dumps(statistics)}))
    return told[-1:]


def listening(updates=1000):
    clock, told = Clock(), []
    clock.progress = Progress(updates, Told(told.append), clock)
    return clock, told


def train(clock, told, done, loss="2", wps="1234.5"):
    return heard(clock, told, "train_inner", num_updates=str(done), loss=loss, wps=wps)


def test_training_is_told_with_the_time_left():
    clock, told = listening()
    assert train(clock, told, 10) == ["10 of 1,000 updates: perplexity 4.00 on train, 1,234 units a second"]
    clock.now = 10.0
    assert train(clock, told, 110, loss="1", wps="5e+06") == [
        "110 of 1,000 updates: perplexity 2.00 on train, 5,000,000 units a second, about 1 min left"
    ]


def test_every_measurement_on_valid_is_told_with_the_best():
    clock, told = listening()
    wanted = "100 of 1,000 updates: perplexity 8.00 on valid, the best so far"
    assert heard(clock, told, "valid", valid_num_updates="100", valid_loss="3") == [wanted]
    assert heard(clock, told, "valid", valid_num_updates="200", valid_loss="3.1", valid_best_loss="3") == [
        "200 of 1,000 updates: perplexity 8.57 on valid, the best was 8.00"
    ]
    assert heard(clock, told, "valid", valid_num_updates="300", valid_loss="2", valid_best_loss="2")[0].endswith(
        "perplexity 4.00 on valid, the best so far"
    )


def test_what_else_fairseq_says_is_not_told():
    clock, told = listening()
    clock.progress.handle(logging.makeLogRecord({"name": "fairseq.trainer", "msg": "begin training epoch 1"}))
    heard(clock, told, "train", train_loss="3", train_num_updates="100")
    assert told == []
