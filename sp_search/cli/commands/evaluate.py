"""Measure an exported prompt on a split of a labelled corpus, and compare it with models without the LM.

It prints one JSON object. Each metric has a 95 % confidence interval (bootstrap over utterances). eer is the equal
error rate of a threshold on the score: as large a share of the right answers lies below it as of the wrong answers
above it; null if all answers are right, or none is. For transcripts and slots there are also metrics over
the sentences that training has (_heard) and over those that it lacks (_new). baseline is the model without the LM
that is best on valid: a linear model on n-grams of units, or the answer of the nearest training utterance. against
says whether the prompt is better than it, by a bootstrap over the same utterances.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sp_search.cli.exported.evaluation import evaluated
from sp_search.cli.exported.unit_checks import lines_on_split, origin_of_corpus
from sp_search.cli.settings.reads import OF_ANSWERING
from sp_search.cli.wiring.factories import data_path, prompts_of
from sp_search.config import Settings
from sp_search.errors import ConfigError
from sp_search.export.folder import task_of
from sp_search.message import say
from sp_search.units.manifest import SPLITS, load_corpus

READS = (*OF_ANSWERING, "data")
EXAMPLE = "sp-search evaluate prompt=exports/my lm=lms/my data=units/my split=test"


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
    prompts, data = prompts_of(config, [config.prompt]), config.data
    (prompt,) = prompts.loaded
    corpus = load_corpus(
        data_path(config),
        prompts.dictionary,
        data.name,
        train_utterances=data.train_utterances,
        field=task_of(prompt.document).field,
    )
    say(*prompts.check_units(origin_of_corpus(config)), *lines_on_split(prompt, corpus, config.split))
    print(json.dumps(evaluated(prompt, corpus, config.split), indent=2))
    return 0
