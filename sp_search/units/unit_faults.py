"""Why a word of a line is no unit of the LM's dictionary: the cause is told, as far as the word shows it."""

from __future__ import annotations

import re
from collections.abc import Callable

from sp_search.files.json_line import LineError
from sp_search.units.dictionary import FILLER, SPECIAL_SYMBOLS, Dictionary

NUMBER = re.compile(r"0|[1-9][0-9]*")
PADDED = re.compile(r"0+([0-9]+)")
NEGATIVE = re.compile(r"-[0-9]+")
FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
PARTED = re.compile(r"[\[(]*-?[0-9]+(?:[,;:/-][0-9]*)+[\])]*|[\[(]+-?[0-9]+[\])]*|[0-9]+[\])]+")
DIGITS_SHOWN = 12
"""Characters of a word that are shown."""


def known_in(dictionary: Dictionary) -> Callable[[str], bool]:
    """Whether a dictionary has a unit that speech can hold; the function raises a LineError with the cause if not."""

    def known(unit: str) -> bool:
        if dictionary.find(unit) is not None and not unit.startswith(FILLER):
            return True
        raise LineError(unit_fault(unit, dictionary))

    return known


def unit_fault(unit: str, dictionary: Dictionary) -> str:
    """What was expected, what came, and why it may have."""
    why = cause(unit, dictionary.largest_number)
    return f"expected units of the LM's dictionary ({dictionary.described}), got {shown(unit)}{why}"


def shown(unit: str) -> str:
    """The word in quotes, cut where it is long."""
    return repr(unit) if len(unit) <= 60 else f"{unit[:40]!r}... of {len(unit):,} characters"


def cause(unit: str, largest: int | None) -> str:
    """`; WHY` for a word that is no unit.

    Args:
        unit: the word.
        largest: of the units, where these are numbers; else None.
    """
    if unit in SPECIAL_SYMBOLS:
        return "; a special of fairseq has no place among an utterance's units: take it out"
    if unit.startswith(FILLER):
        return "; such a filler only pads the dictionary, and no speech has it: was the file written by its ids?"
    if unit.isdecimal() and not unit.isascii():
        return "; its digits are not 0 to 9: write them so" if largest is not None else ""
    if largest is not None and (told := _numeric_cause(unit, largest)):
        return told
    if PARTED.fullmatch(unit):
        return "; units are parted by blanks alone: take commas and brackets out"
    if any(character.isalpha() for character in unit) and not any(character.isdigit() for character in unit):
        return "; is it a label? Labels come after `<s>`, or in a field of their own"
    if largest is not None:
        return "; units are plain numbers here"
    return "; was it made with another quantizer?"


def _numeric_cause(unit: str, largest: int) -> str:
    if NUMBER.fullmatch(unit):
        beyond = len(unit) > len(str(largest)) or int(unit) > largest
        return "; was it made with a quantizer of more clusters?" if beyond else "; it has no entry in dict.txt"
    if padded := PADDED.fullmatch(unit):
        return f"; it is padded with zeros: write {padded[1][:DIGITS_SHOWN].lstrip('0') or '0'}"
    if NEGATIVE.fullmatch(unit):
        return "; no unit is negative: is it padding or a mask, such as -1?"
    if FLOAT.fullmatch(unit):
        return "; units are whole numbers: were they written as floats?"
    return ""
