"""Requests: two deeds in one sentence, or a deed and its time. Valid and test put together what training never does.

Every word and every slot value occurs in training. New in valid and in test are the pairs (which deed comes first,
and which deed or time goes with it), and in a part of the sentences the carrier around the pair as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sp_search.demo.grammar import spelled_out

Slot = tuple[str, str]
"""Its type and its value."""

PLACES = ("kitchen", "bedroom", "office", "garage", "garden")

DEEDS: Mapping[Slot, tuple[str, ...]] = {
    ("lights", "on"): ("@ {lights|lamp} on",),
    ("lights", "off"): ("@ {lights|lamp} off",),
    ("heating", "up"): ("@ {heat|heating} up",),
    ("heating", "down"): ("@ {heat|heating} down",),
    ("temperature", "eighteen"): ("@ {heat|heating} to eighteen",),
    ("temperature", "twenty"): ("@ {heat|heating} to twenty",),
    ("blinds", "open"): ("open the @ {blinds|curtains}", "@ {blinds|curtains} open"),
    ("blinds", "close"): ("close the @ {blinds|curtains}",),
    ("door", "open"): ("open the @ {door|gate}", "@ {door|gate} open"),
    ("door", "close"): ("close the @ {door|gate}",),
    ("music", "on"): ("@ {music|radio} on",),
    ("music", "off"): ("@ {music|radio} off",),
    ("music", "up"): ("@ {music|radio} up",),
    ("music", "down"): ("@ {music|radio} down",),
    ("fan", "on"): ("@ fan on",),
    ("fan", "off"): ("@ fan off",),
    ("alarm", "on"): ("@ alarm on",),
    ("alarm", "off"): ("@ alarm off",),
}
"""The wordings of a deed, by the slot that it fills. `@` is a place, or nothing.

They are short: the unit LM has heard commands of at most 65 units, and a prompt reads badly what comes later.
"""

TIMES: Mapping[Slot, str] = {
    **{("minutes", count): f"in {count} minutes" for count in ("five", "ten", "twenty")},
    **{("time", hour): f"at {hour}" for hour in ("five", "ten", "noon")},
}

WITH_DEED = (
    "{first} and {second}",
    "{first} then {second}",
    "please {first} and {second}",
    "now {first} and {second}",
)
WITH_TIME = ("{first} {second}", "{second} {first}", "please {first} {second}", "now {first} {second}")
"""The carriers of all splits: of a deed and another deed, of a deed and its time."""

UNHEARD: Mapping[str, tuple[str, str]] = {
    "valid": ("please {first} then {second}", "please {second} {first}"),
    "test": ("now {first} then {second}", "now {second} {first}"),
}
"""The carriers that only valid or only test has: with another deed, with a time. Training has their words."""

UNHEARD_SHARE, PLACED_SHARE = 0.25, 0.5
"""The shares of requests with such a carrier (in valid and test), and with a place (everywhere)."""

DIAGONALS, OWNERS = 10, {0: "valid", 1: "test"}
"""The pair of first deed i and second part j belongs to the split with number (i + j) % 10; other pairs are train's.

With a larger share held out, training teaches which words never go together: with two pairs in five held out, a
fine-tuned LM wrote `at noon` for `at five` after some deeds.
"""


@dataclass(frozen=True)
class Request:
    """A sentence and its slots, in the form of Audio SNIPS and in the order of speech."""

    text: str
    slots: str

    def fields(self) -> dict[str, object]:
        """Its answers by the fields of the tasks. It has no intent, because it asks for two things or for a time."""
        return {"labels": None, "text": self.text, "slots": self.slots, "keyword": None}


def requests(split: str, count: int, rng: np.random.Generator) -> list[Request]:
    """Draw different requests of a split."""
    found: dict[str, Request] = {}
    drawn = pairs(split)
    while len(found) < count:
        first, second = drawn[rng.integers(len(drawn))]
        request = _worded(_carrier(split, second, rng), first, second, rng)
        found.setdefault(request.text, request)
    return list(found.values())


def pairs(split: str) -> list[tuple[Slot, Slot]]:
    """The pairs of a split, always in the same order: a deed, and a deed to another thing or a time."""
    return [
        (first, second)
        for i, first in enumerate(DEEDS)
        for j, second in enumerate([*DEEDS, *TIMES])
        if OWNERS.get((i + j) % DIAGONALS, "train") == split and first[0] != second[0]
    ]


def _carrier(split: str, second: Slot, rng: np.random.Generator) -> str:
    if split in UNHEARD and rng.random() < UNHEARD_SHARE:
        return UNHEARD[split][second in TIMES]
    heard = WITH_TIME if second in TIMES else WITH_DEED
    return heard[rng.integers(len(heard))]


def _worded(carrier: str, first: Slot, second: Slot, rng: np.random.Generator) -> Request:
    """Half of the first deeds name a place; the second part names none."""
    place = PLACES[rng.integers(len(PLACES))] if rng.random() < PLACED_SHARE else ""
    parts = {
        "first": _deed(first, place, rng),
        "second": (TIMES[second], _marked(second)) if second in TIMES else _deed(second, "", rng),
    }
    spoken = sorted(parts, key=carrier.index)
    texts = {name: text for name, (text, _) in parts.items()}
    return Request(carrier.format(**texts), " ".join(parts[name][1] for name in spoken))


def _deed(slot: Slot, place: str, rng: np.random.Generator) -> tuple[str, str]:
    """Its words and its slots."""
    wordings = [text for pattern in DEEDS[slot] for text in spelled_out(pattern)]
    text = wordings[rng.integers(len(wordings))]
    if not place:
        return text.replace("@ ", ""), _marked(slot)
    return text.replace("@", place), f"{_marked(slot)} {_marked(('place', place))}"


def _marked(slot: Slot) -> str:
    kind, value = slot
    return f"B-{kind} {value} E-{kind}"
