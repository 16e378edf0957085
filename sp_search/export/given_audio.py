"""Audio in a text: the bytes of an audio file in base64, alone or as a data URL."""

from __future__ import annotations

import base64
import binascii

from sp_search.units.whole_audio import begins_as_audio

SHORTEST = 60
"""Characters of base64: 44 bytes, which the head of a WAV file alone has."""


def audio_in_base64(text: str) -> bytes:
    """The bytes of an audio file; empty where the text is something else, as a line of units or a path."""
    packed = text.partition(";base64,")[2] if text.startswith("data:") else text
    if len(packed) < SHORTEST:
        return b""
    try:
        found = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return found if begins_as_audio(found) else b""
