"""What a command says on stderr of the units that it is given: their form, who made them, and whether they repeat."""

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
    """Print lines on stderr, empty ones left out."""
    for line in lines:
        if line:
            print(line, file=sys.stderr, flush=True)


def lines_on_corpus(config: Settings, corpus: Corpus) -> list[str]:
    """What is to be said of a corpus before a search on the LM of the settings: forms, unknown origin, repeats.

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
    """What made the units of the LM of the settings."""
    built_in = demo_quantizer() if config.lm.path is None and config.lm.name == "demo" else None
    return lm_origin(config.lm.name, config.lm.path, built_in)


def origin_of_corpus(config: Settings) -> UnitOrigin:
    """What made the units of the corpus of the settings."""
    return corpus_origin(config.data.path, demo_quantizer() if config.data.path is None else None)


def say_partners(config: Settings, prompt: Path, document: Mapping[str, Any], *others: UnitOrigin) -> UnitOrigin:
    """Compare a prompt with the LM of the settings and with others, and say who does not know its quantizer.

    Args:
        config: names the LM.
        prompt: the exported folder.
        document: its document.
        others: what made the units of a corpus, or of an input.

    Returns:
        What the prompt knows.

    Raises:
        CheckpointError: two are of different quantizers.
    """
    known = prompt_origin(prompt, document)
    say(*check_origins(known, origin_of_lm(config), *others))
    return known
