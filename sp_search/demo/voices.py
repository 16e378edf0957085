"""Who speaks: espeak-ng's voice variants in several accents, those of valid and test unheard in training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader
import numpy as np

ACCENTS = ("en-us", "en-us-nyc")
UNVOICED = ("whisper", "whisperf")
"""Left out: without a voice there is no pitch to vary and little left above the noise."""
HUMAN_FORMANTS = (80, 125)
"""Per cent of the accent's own: throats shorter or longer than that are cartoons."""
LOUDEST_ECHO = 100
"""Of espeak-ng's scale: robots and caves have 500 and more."""
HELD_OUT = {"valid": 10, "test": 12}  # variants
SENTENCE_PACE = (180, 230)
"""The slowest and the fastest, in words a minute."""
WORD_PACE = (130, 180)
"""Of a word on its own, which is said more slowly."""


@dataclass(frozen=True)
class Manner:
    """How one utterance is spoken."""

    voice: str  # espeak-ng's name: an accent, or accent+variant
    words_per_minute: int  # 80 to 450
    pitch: int  # 0 to 100, 50 being the voice's own
    liveliness: int  # how far the pitch moves, 0 to 100


def all_variants() -> list[str]:
    """The names of espeak-ng's voice variants that could be a person's, by what their files say; alphabetical."""
    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return sorted(path.name for path in folder.iterdir() if path.name not in UNVOICED and _is_human(path))


def _is_human(variant: Path) -> bool:
    """Whether the first three formants and the echo are those of a person in a room."""
    text = variant.read_text(encoding="latin-1")
    formants = [int(share) for share in re.findall(r"^[ \t]*formant[ \t]+[123][ \t]+(\d+)", text, re.MULTILINE)]
    echoes = [int(level) for level in re.findall(r"^[ \t]*echo[ \t]+\d+[ \t]+(\d+)", text, re.MULTILINE)]
    low, high = HUMAN_FORMANTS
    return all(low <= share <= high for share in formants) and all(level <= LOUDEST_ECHO for level in echoes)


def variants_of(split: str, seed: int) -> list[str]:
    """The voice variants of a split. Train, valid and test share none; pool has those of train."""
    shuffled = [str(name) for name in np.random.default_rng(seed).permutation(all_variants())]
    valid, test = HELD_OUT["valid"], HELD_OUT["test"]
    parts = {"valid": shuffled[:valid], "test": shuffled[valid : valid + test], "train": shuffled[valid + test :]}
    return parts["train" if split == "pool" else split]


def draw_manner(variants: Sequence[str], pace: tuple[int, int], rng: np.random.Generator) -> Manner:
    """A voice, and the speed and pitch of one utterance."""
    slowest, fastest = pace
    return Manner(
        voice=f"{rng.choice(ACCENTS)}+{rng.choice(variants)}",
        words_per_minute=int(rng.integers(slowest, fastest + 1)),
        pitch=int(rng.integers(35, 66)),
        liveliness=int(rng.integers(20, 81)),
    )
