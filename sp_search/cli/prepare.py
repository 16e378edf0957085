"""Turn a corpus in audio into units that a search takes as its data; started again, it goes on.

corpus= is a manifest, CSV or JSON lines with path, split (train, valid or test) and labels or text; with form= it is
the folder of a corpus as it is published. to= is the folder that a search is then given as its data.
units=hubert, cpc, w2v2 or logmel takes the published speech model and k-means, downloaded once: lm=gslm_hubert100
knows the units of units=hubert, lm=gslm_hubert50 those with units.fit.units=50 besides. units.quantizer= names a
k-means file instead; with null, clusters are found on train.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from sp_search.cli.preparing import document, encoder_file, hear_of, quantizer_of
from sp_search.config import Settings
from sp_search.units.corpora.read import Form, read_corpus
from sp_search.units.prepare import META, prepare
from sp_search.units.progress import Progress


@dataclass(frozen=True, kw_only=True)
class PrepareSettings(Settings):
    """Which corpus, and where to."""

    corpus: Path  # a manifest, CSV or JSON lines with path, split and labels or text; else the corpus's folder
    form: Form = "manifest"
    to: Path  # the folder that a search is then given: data=FOLDER
    characters: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"  # what text may hold beside blanks, where it makes the labels


def run(config: PrepareSettings) -> int:
    """Print where the folder is; 1 if a file could not be read."""
    recordings = read_corpus(config.form, config.corpus, config.characters)
    progress = Progress()
    checkpoint = encoder_file(config.units, config.cache)
    quantizer = quantizer_of(config, checkpoint, recordings, config.to, progress)
    prepared = prepare(recordings, quantizer, config.to, hear_of(config, quantizer, checkpoint), progress)
    corpus = {"form": config.form, "path": str(config.corpus)}
    meta = json.dumps(document(config.units, corpus, quantizer, prepared), indent=2, ensure_ascii=False)
    unfinished = config.to / f"{META}.part"
    unfinished.write_text(meta + "\n", encoding="utf-8")
    unfinished.replace(config.to / META)
    print(config.to)
    return int(bool(prepared.unreadable))
