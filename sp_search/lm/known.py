"""Imported unit LMs by the fingerprint of their weights, for where the checkpoint they came from is not at hand.

The dictionary of each is kept beside them in the cache, as `lm/dictionaries/FINGERPRINT.txt`.
"""

from __future__ import annotations

from pathlib import Path

from sp_search.lm.store import read_lm
from sp_search.lm.unit_lm import UnitLM
from sp_search.published.download import cannot_keep
from sp_search.units.dictionary import Dictionary


def keep_dictionary(fingerprint: str, dictionary: Dictionary, cache: Path) -> None:
    """Keep the dictionary of an LM that was imported into the cache.

    Raises:
        DownloadError: the cache can't be written.
    """
    path = _dictionary(fingerprint, cache)
    try:
        if not path.exists():
            dictionary.save(path)
    except OSError as error:
        raise cannot_keep(path, error) from error


def find_lm(fingerprint: str, cache: Path) -> tuple[UnitLM, Dictionary] | None:
    """An LM that was imported before, and its dictionary; None where the cache lacks one of them.

    Raises:
        CheckpointError: it is there, and damaged.
        DataError: its dictionary is damaged.
    """
    path = _dictionary(fingerprint, cache)
    for record in sorted((cache / "lm").glob("*/lm.json")) if path.exists() else ():
        if f'"{fingerprint}"' in record.read_text(encoding="utf-8"):
            return read_lm(record.parent), Dictionary.load(path)
    return None


def _dictionary(fingerprint: str, cache: Path) -> Path:
    return cache / "lm" / "dictionaries" / f"{fingerprint}.txt"
