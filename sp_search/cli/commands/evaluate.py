"""Measure an exported prompt on a split of a labelled corpus, the cheap rivals beside it; prints one JSON.

Each metric has its 95 % confidence interval by bootstrap over utterances. eer is the equal error rate of taking an
answer by its score: as large a share of the right ones refused as of the wrong ones taken; null where all are right,
or none. Where answers are written, and training has some of valid's and test's and lacks others, each metric stands
there also over the sentences heard before (_heard) and over the new ones (_new). baseline is the rival that is best
on valid: a linear model on unit n-grams, or the answer of the nearest training utterance. against says whether the
prompt beats it, by a bootstrap over the utterances that both answered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sp_search.cli.wiring.factories import data_path, predictor_of
from sp_search.cli.wiring.unit_checks import origin_of_corpus, say, say_partners
from sp_search.config import Settings
from sp_search.errors import ConfigError
from sp_search.export.folder import task_of
from sp_search.export.predictor import Prediction, labelled_answers
from sp_search.metrics.accuracy import Answer
from sp_search.metrics.eer import eer_with_interval
from sp_search.metrics.measures import measure, measure_slots, with_intervals
from sp_search.metrics.parts import Known, deciding, known_answers, part_sizes, with_parts
from sp_search.rivals.choose import fit_rivals
from sp_search.rivals.measured import against
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.near_answers import nearly_known
from sp_search.tasks.registry import Task
from sp_search.types import Corpus, Split
from sp_search.units.manifest import SPLITS, forms_said, load_corpus
from sp_search.units.repeats import differing_repeats


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(Settings):
    """The prompt and the split to measure."""

    prompt: Path  # an exported folder
    split: str = "test"  # train, valid or test

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.split not in SPLITS:
            raise ConfigError(f"split: expected {', '.join(SPLITS)}, got {self.split!r}")


def run(config: EvaluateSettings) -> int:
    """Print the task's metrics and those of its rivals."""
    predictor, dictionary, document = predictor_of(config, config.prompt)
    task, data = task_of(document), config.data
    corpus = load_corpus(
        data_path(config), dictionary, data.name, train_utterances=data.train_utterances, field=task.field
    )
    split = corpus.splits[config.split]
    wanted = labelled_answers(split)
    _say_of_units(config, document, corpus)
    known = LabelSpace.from_json(document["label_space"])
    training = [known.words(answer, task) for answer in known.answers] or corpus.splits["train"].answers
    say(nearly_known(split, training))
    parted = known_answers(task, corpus.splits)
    found = list(predictor.predict(split))
    answers = [prediction.labels for prediction in found]
    result = {
        "task": task.name,
        "data": {"name": corpus.name, "fingerprint": corpus.fingerprint},
        "split": config.split,
        "utterances": len(split),
        "parts": part_sizes(wanted, parted),
        **_measured(task, answers, wanted, parted),
        **_taken_by_score(found, wanted),
        **_rivals(task, corpus, split, answers, parted),
    }
    print(json.dumps(result, indent=2))
    return 0


def _say_of_units(config: EvaluateSettings, document: Mapping[str, Any], corpus: Corpus) -> None:
    """Check the units of the split, and print on stderr what may be wrong with them."""
    prompt = say_partners(config, config.prompt, document, origin_of_corpus(config))
    say(*forms_said(corpus))
    say(differing_repeats(corpus.splits[config.split], prompt.repeats, f"{prompt.who} was trained on"))


def _measured(task: Task, found: Sequence[Answer], wanted: Sequence[Answer], parted: Known) -> dict[str, Any]:
    slots = task.slots if len(task.slots) > 1 else ()
    whole = measure(task.metrics, found, wanted) | measure_slots(slots, found, wanted)
    return with_intervals(with_parts(whole, wanted, parted))


def _rivals(task: Task, corpus: Corpus, split: Split, ours: Sequence[Answer], parted: Known) -> dict[str, Any]:
    """Each rival's metrics, and how far ours are ahead of it in the metric that decides."""
    decides, wanted, found = deciding(task, corpus.splits, parted), split.answers, []
    if decides not in (own := with_parts(measure(task.metrics, ours, wanted), wanted, parted)):
        decides = task.decides  # no new sentence is in this split
    for rival in fit_rivals(task, corpus.splits):
        answers = rival.answers(split)
        theirs = with_parts(measure(task.metrics, answers, wanted), wanted, parted)
        told = {"name": rival.name, "settings": dict(rival.settings.params())}
        measured = _measured(task, answers, wanted, parted)
        found.append({**told, **measured, "against": against(rival.name, decides, own[decides], theirs[decides])})
    baseline, *others = found
    return {"baseline": baseline, "other_rivals": others}


def _taken_by_score(found: Sequence[Prediction], wanted: Sequence[Answer]) -> dict[str, Any]:
    scores = [next(iter(prediction.scores.values())) for prediction in found]
    right = [prediction.labels == answer for prediction, answer in zip(found, wanted, strict=True)]
    return eer_with_interval(np.array(scores), np.array(right))
