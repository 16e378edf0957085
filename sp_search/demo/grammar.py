"""What is said: phrasings of every intent, an intent being action, object and location.

A pattern in braces holds one of several words: `{kill|cut} the music`. `@` stands for the room.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

NONE = "none"
CHOICE = re.compile(r"\{([^}]*)\}")

Answer = tuple[str, str, str]
"""An intent: action, object, location."""


@dataclass(frozen=True)
class Phrase:
    """A phrasing and what it asks for."""

    text: str
    answer: Answer

    def fields(self) -> dict[str, object]:
        """Its answers by the fields of the tasks; null where it has none."""
        return {"labels": self.answer, "text": self.text, "slots": self._slots(), "keyword": None}

    def _slots(self) -> str:
        """The answer in the form of Audio SNIPS: the thing with what is to be done to it, and the place."""
        action, thing, place = self.answer
        where = "" if place == NONE else f" B-place {place} E-place"
        return f"B-{thing} {action} E-{thing}{where}"


IN_ROOMS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("on", "lights"): (
        "{turn|switch} on the @ {lights|lamp}",
        "@ {lights|lamp} on",
        "light up the @",
        "it is too dark in the @",
    ),
    ("off", "lights"): (
        "{turn|switch} off the @ {lights|lamp}",
        "@ {lights|lamp} off",
        "darken the @",
        "it is too bright in the @",
    ),
    ("up", "heating"): (
        "{turn up|raise} the {heat|heating} in the @",
        "@ {heat|heating} up",
        "warm up the @",
        "the @ is {cold|freezing}",
    ),
    ("down", "heating"): (
        "{turn down|lower} the {heat|heating} in the @",
        "@ {heat|heating} down",
        "cool down the @",
        "the @ is {hot|boiling}",
    ),
    ("open", "blinds"): (
        "open the @ {blinds|curtains}",
        "@ {blinds|curtains} open",
        "pull up the @ {blinds|curtains}",
    ),
    ("close", "blinds"): ("{close|shut} the @ {blinds|curtains}", "@ {blinds|curtains} {closed|shut}"),
}
"""Said of a room."""

ROOMS = ("kitchen", "bedroom", "office")

ANYWHERE: Mapping[Answer, tuple[str, ...]] = {
    ("on", "lights", NONE): (
        "{turn|switch} on {the|all} lights",
        "lights on please",
        "more light {please|here}",
        "i can't see",
    ),
    ("off", "lights", NONE): (
        "{turn|switch} off {the|all} lights",
        "lights off please",
        "no more light",
        "time to sleep",
    ),
    ("up", "heating", NONE): ("{turn up|raise} the {heat|heating}", "i am {cold|freezing}", "make it warmer"),
    ("down", "heating", NONE): ("{turn down|lower} the {heat|heating}", "i am {hot|boiling}", "make it cooler"),
    ("on", "music", NONE): (
        "{start|play} {the|some} music",
        "music on",
        "play {a song|the radio}",
        "sing me something",
    ),
    ("off", "music", NONE): ("{stop|pause} the {music|song|radio}", "music off", "be quiet", "i want silence"),
    ("up", "music", NONE): (
        "turn up the {music|radio|volume}",
        "{music|volume} up",
        "make it louder",
        "i can't hear it",
    ),
    ("down", "music", NONE): (
        "turn down the {music|radio|volume}",
        "{music|volume} down",
        "make it quieter",
        "this is too loud",
    ),
    ("open", "door", "garage"): (
        "open the garage {door|gate}",
        "garage {door|gate} open",
        "let the car {out|in}",
        "i am {leaving|coming} by car",
    ),
    ("close", "door", "garage"): (
        "{close|shut} the garage {door|gate}",
        "garage {door|gate} {closed|shut}",
        "the car is {out|in}",
    ),
    ("open", "door", "garden"): ("open the garden {door|gate}", "garden {door|gate} open", "let the {dog|cat} out"),
    ("close", "door", "garden"): (
        "{close|shut} the garden {door|gate}",
        "garden {door|gate} {closed|shut}",
        "keep the {dog|cat} in",
    ),
}
"""Said as it stands."""


def phrases() -> list[Phrase]:
    """Every phrasing, always in the same order."""
    found = [
        Phrase(text.replace("@", room), (action, thing, room))
        for (action, thing), patterns in IN_ROOMS.items()
        for room in ROOMS
        for text in _all_of(patterns)
    ]
    found += [Phrase(text, answer) for answer, patterns in ANYWHERE.items() for text in _all_of(patterns)]
    return found


def intents() -> list[Answer]:
    """Every intent, always in the same order."""
    return list(dict.fromkeys(phrase.answer for phrase in phrases()))


def spelled_out(pattern: str) -> Iterator[str]:
    """Every text of a pattern: `{a|b} c` gives `a c` and `b c`."""
    pieces = CHOICE.split(pattern)  # fixed text and choices in turn
    choices = [piece.split("|") if i % 2 else [piece] for i, piece in enumerate(pieces)]
    return ("".join(words) for words in itertools.product(*choices))


def _all_of(patterns: tuple[str, ...]) -> Iterator[str]:
    return itertools.chain.from_iterable(map(spelled_out, patterns))
