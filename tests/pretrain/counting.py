"""Utterances with a rule to find, the small recipe that finds it, and a training of the two."""

from pathlib import Path

import numpy as np

from sp_search.pretrain.databin import Source
from sp_search.pretrain.pretrain import Pretrained, pretrain
from sp_search.pretrain.recipe import Recipe

UNITS = 6
RECIPE = {
    "layers": 2, "embed_dim": 16, "ffn_embed_dim": 24, "attention_heads": 2, "max_positions": 64, "dropout": 0.1,
    "lr": 1e-2, "warmup_updates": 10, "updates": 60, "batch_tokens": 256, "pass_tokens": 128, "valid_every": 20,
    "seed": 0,
}  # fmt: skip


def counting(count: int, seed: int) -> list[list[int]]:
    """Utterances over six units, each the one before it plus one."""
    rng = np.random.default_rng(seed)
    return [((rng.integers(UNITS) + np.arange(rng.integers(5, 12))) % UNITS).tolist() for _ in range(count)]


def recipe(**changes) -> Recipe:
    return Recipe(**RECIPE | changes)


def write_units(path: Path, utterances: list[list[int]]) -> Path:
    path.write_text("".join(" ".join(map(str, units)) + "\n" for units in utterances))
    return path


def source_in(folder: Path, **changes) -> Source:
    """Two hundred utterances to train on, thirty to measure on."""
    train = write_units(folder / "train.txt", counting(200, seed=0))
    valid = write_units(folder / "valid.txt", counting(30, seed=1))
    return Source(**{"train": train, "valid": valid, "valid_share": 0.5, "dictionary": None, **changes})


class Told:
    """Passes every line on, of those that a terminal would draw over too."""

    def __init__(self, tell):
        self.say = tell

    def show(self, share, words):
        assert 0 <= share <= 1
        self.say(words)

    def close(self):
        pass


def trained(folder: Path, tell=lambda line: None, **changes) -> Pretrained:
    """Train in `folder/lm`."""
    return pretrain(recipe(**changes), source_in(folder), folder / "lm", gpus=0, bfloat16=False, shown=Told(tell))
