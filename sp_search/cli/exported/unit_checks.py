"""Checks and messages about the units of a corpus: the form of its files, their quantizer, and repeats."""

from __future__ import annotations

from sp_search.cli.exported.prompts import LoadedPrompt, demo_quantizer
from sp_search.config import Settings
from sp_search.export.folder import task_of
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.near_answers import nearly_known
from sp_search.types import Corpus
from sp_search.units.manifest import forms_said
from sp_search.units.partners import UnitOrigin, check_origins, corpus_origin, lm_origin
from sp_search.units.repeats import differing_repeats, splits_that_differ


def lines_on_corpus(config: Settings, corpus: Corpus) -> list[str]:
    """The messages about a corpus before a search on the LM of the settings: forms, unknown quantizers, repeats.

    Raises:
        CheckpointError: corpus and LM are of different quantizers.
    """
    lm = origin_of_lm(config)
    splits = corpus.splits
    lines = [
        *forms_said(corpus),
        *check_origins(origin_of_corpus(config), lm),
        splits_that_differ(splits, f"data {corpus.name}"),
        differing_repeats(splits["train"], lm.repeats, f"{lm.who} was trained on", f"data {corpus.name}"),
    ]
    return [line for line in lines if line]


def origin_of_lm(config: Settings) -> UnitOrigin:
    """The origin of the units of the LM in the settings."""
    built_in = demo_quantizer() if config.lm.path is None and config.lm.name == "demo" else None
    return lm_origin(config.lm.name, config.lm.path, built_in)


def origin_of_corpus(config: Settings) -> UnitOrigin:
    """The origin of the units of the corpus in the settings."""
    return corpus_origin(config.data.path, demo_quantizer() if config.data.path is None else None)


def lines_on_split(prompt: LoadedPrompt, corpus: Corpus, name: str) -> list[str]:
    """The messages about a split before a prompt is measured on it: its form, repeats, answers nearly known."""
    split, task = corpus.splits[name], task_of(prompt.document)
    known = LabelSpace.from_json(prompt.document["label_space"])
    training = [known.words(answer, task) for answer in known.answers] or corpus.splits["train"].answers
    lines = [
        *forms_said(corpus),
        differing_repeats(split, prompt.origin.repeats, f"{prompt.origin.who} was trained on"),
        nearly_known(split, training),
    ]
    return [line for line in lines if line]
