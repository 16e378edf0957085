"""The unlabelled exchanges that the unit LM learns from: someone's command, `<s>`, the assistant's spoken answer.

The assistant has one voice and says back what it does in three words, in an order of its own, so that whoever
predicts its units must have understood the command. All the LM is given are units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sp_search.demo.corpus import Utterance
from sp_search.demo.grammar import NONE, Answer, Phrase, intents
from sp_search.demo.voices import Manner
from sp_search.types import SEPARATOR
from sp_search.units.quantizer import Units

MANNER = Manner("en-us", words_per_minute=400, pitch=50, liveliness=50)
"""espeak-ng's own voice without a variant: nobody else in the corpus has it."""
WORDINGS = ("{place} {thing} {action}", "{thing} {action} {place}", "{action} {place} {thing}")
EVERYWHERE = "here"


def plan_answers(seed: int) -> list[Utterance]:
    """Every wording of every intent, recorded once."""
    planned: list[Utterance] = []
    for answer in intents():
        action, thing, location = answer
        place = EVERYWHERE if location == NONE else location
        for wording in WORDINGS:
            phrase = Phrase(wording.format(action=action, thing=thing, place=place), answer)
            planned.append(Utterance(f"answer-{len(planned):05d}", phrase, MANNER, (seed, len(planned))))
    return planned


def exchanges(
    commands: Sequence[tuple[Answer, Units]], answers: Sequence[tuple[Answer, Units]], seed: int
) -> list[Units]:
    """Join each command with one of the recordings that answer it.

    Args:
        commands: what each asks for, and its dictionary ids, (N,).
        answers: the same of every recording.
        seed: of the choice among recordings.

    Returns:
        Dictionary ids of each exchange: command, `<s>`, answer.
    """
    rng = np.random.default_rng(seed)
    recordings: Mapping[Answer, list[Units]] = {answer: [] for answer, _ in answers}
    for answer, units in answers:
        recordings[answer].append(units)
    joined = []
    for answer, units in commands:
        fitting = recordings[answer]
        joined.append(np.concatenate([units, [SEPARATOR], fitting[rng.integers(len(fitting))]]))
    return joined
