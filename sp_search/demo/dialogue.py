"""The unlabelled exchanges that the unit LM learns from: someone's command, `<s>`, the assistant's spoken answer.

The assistant has one voice and one recording of each answer, and says in three words what it does: whoever predicts
its units must have understood the command. All that the LM is given are units, but there is one answer an intent: the
answers are labels in sound. A prompt for the demo has to find what this LM was already taught, which is easier than
what the papers ask, and the naive Bayes baseline, which sees the labelled split alone, was taught less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sp_search.demo.corpus import Utterance
from sp_search.demo.grammar import NONE, Answer, Phrase, intents
from sp_search.demo.voices import Manner
from sp_search.types import SEPARATOR
from sp_search.units.quantizer import Units

MANNER = Manner("en-us", words_per_minute=300, pitch=50, liveliness=50)
"""espeak-ng's own voice without a variant: nobody else in the corpus has it."""
WORDS = {
    "on": "start", "off": "cut", "up": "more", "down": "less", "open": "open", "close": "shut",
    "lights": "lamp", "heating": "heat", "blinds": "blinds", "music": "music", "door": "door",
    "kitchen": "kitchen", "bedroom": "bedroom", "office": "office",
    "garage": "garage", "garden": "yard", NONE: "here",
}  # fmt: skip
"""What the assistant calls things. Within an action, object or location the words begin with different sounds, so
that a word is settled, and must be understood, with its first unit."""


def plan_answers(seed: int) -> list[Utterance]:
    """The answer to every intent."""
    return [
        Utterance(
            f"answer-{number:05d}",
            Phrase(" ".join(WORDS[label] for label in answer), answer),
            MANNER,
            noise_seed=(seed, number),
            in_a_room=False,
        )
        for number, answer in enumerate(intents())
    ]


def exchanges(commands: Sequence[tuple[Answer, Units]], answers: Mapping[Answer, Units]) -> list[Units]:
    """Join each command with its answer.

    Args:
        commands: what each asks for, and its dictionary ids, (N,).
        answers: the dictionary ids of each answer.

    Returns:
        Dictionary ids of each exchange: command, `<s>`, answer.
    """
    return [np.concatenate([units, [SEPARATOR], answers[intent]]) for intent, units in commands]
