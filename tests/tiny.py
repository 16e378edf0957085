"""A made-up corpus and an untrained unit LM of a few thousand numbers, for every test of the lower rooms.

Sources are drawn so that an answer shows in its utterance: label symbol c makes unit `c` frequent. So a tiny LM's
prompt can learn something, and a linear model is far from chance.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sp_search.engine.train.trainer import MultiTrialTrainer
from sp_search.engine.trial.task_data import Scores, TaskData, task_data
from sp_search.lm.architecture import Architecture
from sp_search.lm.unit_lm import UnitLM, random_lm
from sp_search.tasks.registry import get_task
from sp_search.types import SPECIALS, Corpus, Split
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import corpus_fingerprint

CPU = torch.device("cpu")
UNITS = 16
ANSWERS = (
    ("on", "lamp", "hall"),
    ("off", "lamp", "hall"),
    ("on", "music", "none"),
    ("off", "music", "none"),
    ("up", "heat", "hall"),
)
"""9 label symbols, 5 answers; `on` begins two of them, as in a tree that branches."""
SYMBOLS = tuple(dict.fromkeys(label for answer in ANSWERS for label in answer))
TEXTS = tuple(tuple(text.split()) for text in ("on", "to no", "a ton not", "net", "at ten"))
"""A transcript for each of the answers, to be spelled: 6 characters with the blank, 2 to 9 of them."""


def tiny_architecture(**changes: int | bool) -> Architecture:
    shape = dict(layers=3, embed_dim=16, ffn_embed_dim=24, attention_heads=2, vocab_size=UNITS + SPECIALS)
    return Architecture(**{**shape, "max_positions": 48, **changes})


def tiny_lm(seed: int = 0, **changes: int | bool) -> UnitLM:
    return random_lm(tiny_architecture(**changes), seed)


def tiny_dictionary(units: int = UNITS, filler: int = 0) -> Dictionary:
    """Units `0` to `units - 1`, and so many of fairseq's filler symbols behind them."""
    return Dictionary([*map(str, range(units)), *(f"madeupword{i:04d}" for i in range(filler))])


def split_of(sources: Sequence[Sequence[int]], answers: Sequence[Sequence[str]], name: str = "train") -> Split:
    """A split of the given dictionary ids."""
    lengths = [len(source) for source in sources]
    return Split(
        name=name,
        ids=tuple(str(i) for i in range(1, len(sources) + 1)),
        tokens=np.array([unit for source in sources for unit in source], dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        answers=tuple(tuple(answer) for answer in answers),
    )


def tiny_split(name: str, count: int, seed: int) -> Split:
    draw = np.random.default_rng(seed)
    sources, answers = [], []
    for i in range(count):
        answer = ANSWERS[i % len(ANSWERS)] if i < len(ANSWERS) else ANSWERS[draw.integers(len(ANSWERS))]
        told = [SYMBOLS.index(label) for label in answer]
        units = [
            told[draw.integers(3)] if draw.random() < 0.6 else draw.integers(UNITS)
            for _ in range(draw.integers(2, 15))
        ]
        sources.append([int(unit) + SPECIALS for unit in units])
        answers.append(answer)
    return split_of(sources, answers, name)


def corpus_of(splits: dict[str, Split], name: str = "tiny") -> Corpus:
    return Corpus(name, splits, corpus_fingerprint(splits))


def tiny_corpus(train: int = 40, valid: int = 12, test: int = 12) -> Corpus:
    counts = {"train": train, "valid": valid, "test": test}
    splits = {name: tiny_split(name, count, seed) for seed, (name, count) in enumerate(counts.items())}
    return corpus_of(splits)


def no_scores(data: TaskData) -> Scores:
    raise AssertionError("no likelihood scores were asked for")


def tiny_data() -> TaskData:
    return task_data(tiny_corpus(), tiny_dictionary(), get_task("intent"), no_scores)


def tiny_texts(**settings: str | int) -> TaskData:
    """The same utterances with transcripts instead of intents: answers of different lengths."""
    spoken = {
        name: replace(split, answers=tuple(TEXTS[ANSWERS.index(answer)] for answer in split.answers))
        for name, split in tiny_corpus().splits.items()
    }
    task = get_task("asr", **{"answer_format": "characters", "decoding": "free", **settings})
    return task_data(corpus_of(spoken), tiny_dictionary(), task, no_scores)


def tiny_trainer(lm: UnitLM | None = None, data: TaskData | None = None, **changes: Any) -> MultiTrialTrainer:
    recipe: dict[str, Any] = dict(
        batch_size=8, chunk_updates=2, tokens_per_pass=10**6, source_cache_bytes=0, valid_sample=0, stream_seed=3
    )
    recipe |= dict(device=CPU, dtype=torch.float32)
    return MultiTrialTrainer(lm or tiny_lm(), data or tiny_data(), **{**recipe, **changes})


def as_lines(split: Split, dictionary: Dictionary) -> list[str]:
    """A split in the form `units <s> labels`."""
    return [
        f"{' '.join(dictionary.symbol(int(unit)) for unit in split.source(i))} <s> {' '.join(split.answers[i])}"
        for i in range(len(split))
    ]


def write_tiny_corpus(folder: Path, **counts: int) -> Path:
    """A folder of text files, one a split of so many utterances, as a search takes it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, split in tiny_corpus(**counts).splits.items():
        (folder / f"{name}.txt").write_text("\n".join(as_lines(split, tiny_dictionary())) + "\n")
    return folder


def write_dictionary(path: Path, dictionary: Dictionary) -> None:
    path.write_text("".join(f"{symbol} 1\n" for symbol in dictionary.symbols))
