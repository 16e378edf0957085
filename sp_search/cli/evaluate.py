"""Measure an exported prompt on a split of a labelled corpus, the naive Bayes baseline beside it; prints one JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sp_search.cli.parts import data_path, predictor_of
from sp_search.config import Settings
from sp_search.errors import ConfigError
from sp_search.export.predictor import labelled_answers
from sp_search.metrics.accuracy import accuracy, slot_accuracy
from sp_search.metrics.naive_bayes import naive_bayes_accuracy
from sp_search.tasks.registry import get_task
from sp_search.units.manifest import SPLITS, load_corpus


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(Settings):
    """What to measure, and on what."""

    prompt: Path  # an exported folder
    split: str = "test"  # train, valid or test

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split not in SPLITS:
            raise ConfigError(f"split: expected {', '.join(SPLITS)}, got {self.split!r}")


def run(config: EvaluateSettings) -> int:
    """Print the task's metrics and the baseline's."""
    predictor, dictionary, document = predictor_of(config, config.prompt)
    data = config.data
    corpus = load_corpus(data_path(config), dictionary, data.name, train_utterances=data.train_utterances)
    split = corpus.splits[config.split]
    wanted = labelled_answers(split)
    found = [prediction.labels for prediction in predictor.predict(split)]
    slots = get_task(document["task"]).slots
    result = {
        "task": document["task"],
        "data": {"name": corpus.name, "fingerprint": corpus.fingerprint},
        "split": config.split,
        "utterances": len(split),
        "metrics": {
            "accuracy": accuracy(found, wanted),
            **{f"{slot}_accuracy": slot_accuracy(found, wanted, i) for i, slot in enumerate(slots)},
        },
        "naive_bayes": {"accuracy": naive_bayes_accuracy(corpus.splits["train"], split)},
    }
    print(json.dumps(result, indent=2))
    return 0
