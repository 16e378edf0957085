"""Checks and messages about the units of a corpus: the form of its files, their quantizer, and repeats."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sp_search.cli.wiring.factories import demo_quantizer
from sp_search.config import Settings
from sp_search.types import Corpus
from sp_search.units.manifest import forms_said
from sp_search.units.partners import UnitOrigin, check_origins, corpus_origin, lm_origin, prompt_origin
from sp_search.units.repeats import differing_repeats, splits_that_differ


def say(*lines: str) -> None:
    """Print lines on stderr, except empty ones."""
    for line in lines:
        if line:
            print(line, file=sys.stderr, flush=True)


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


def say_partners(config: Settings, prompt: Path, document: Mapping[str, Any], *others: UnitOrigin) -> UnitOrigin:
    """Compare the quantizers of a prompt, of the LM in the settings and of others; print who does not know its own.

    Args:
        config: has the LM.
        prompt: the exported folder.
        document: of the prompt.
        others: the origins of a corpus or an input.

    Returns:
        The origin of the prompt's units.

    Raises:
        CheckpointError: two are of different quantizers.
    """
    known = prompt_origin(prompt, document)
    say(*check_origins(known, origin_of_lm(config), *others))
    return known
