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

VOICE = "en-us"  # espeak-ng's own voice, no variant: nobody else in the corpus has it
WORDINGS = ("{place} {thing} {action}", "{thing} {action} {place}", "{action} {place} {thing}")
EVERYWHERE = "here"


def plan_answers(takes: int, seed: int) -> list[Utterance]:
    """Every wording of every intent, spoken so many times."""
    rng = np.random.default_rng(seed)
    planned: list[Utterance] = []
    for answer in intents():
        action, thing, location = answer
        place = EVERYWHERE if location == NONE else location
        for wording in WORDINGS:
            text = wording.format(action=action, thing=thing, place=place)
            for _ in range(takes):
                manner = Manner(VOICE, int(rng.integers(230, 271)), 50, 50)
                number = len(planned)
                planned.append(Utterance(f"answer-{number:05d}", Phrase(text, answer), manner, (seed, number)))
    return planned


def exchanges(
    commands: Sequence[tuple[Answer, Units]], answers: Sequence[tuple[Answer, Units]], seed: int
) -> list[Units]:
    """Join each command with a take of its answer.

    Args:
        commands: what each asks for, and its dictionary ids, (N,).
        answers: the same of every take.
        seed: of the choice among takes.

    Returns:
        Dictionary ids of each exchange: command, `<s>`, answer.
    """
    rng = np.random.default_rng(seed)
    takes: Mapping[Answer, list[Units]] = {answer: [] for answer, _ in answers}
    for answer, units in answers:
        takes[answer].append(units)
    joined = []
    for answer, units in commands:
        fitting = takes[answer]
        joined.append(np.concatenate([units, [SEPARATOR], fitting[rng.integers(len(fitting))]]))
    return joined
