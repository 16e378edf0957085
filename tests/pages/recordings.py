"""Recordings of one's own, as a newcomer has them: a table `my.csv`, and clips of two emotions by several voices."""

from pathlib import Path

import soundfile

from sp_search.demo.espeak import Espeak
from sp_search.demo.voices import Manner
from sp_search.units.features import SAMPLE_RATE

SAID = {"glad": "what a lovely day", "cross": "leave me alone now"}
VOICES = {"train": ("en-us", "en-gb-x-rp", "en-029"), "valid": ("en-gb-scotland",), "test": ("en-gb-x-gbclan",)}
CLIP = f"clips/test-{VOICES['test'][0]}-40-glad.wav"
"""The first recording of the test split."""


def write_recordings(folder: Path) -> None:
    """Write the clips and their table."""
    (folder / "clips").mkdir(parents=True)
    rows, espeak = ["path,split,emotion"], Espeak()
    for split, voices in VOICES.items():
        for voice in voices:
            for pitch in (40, 60):
                for emotion, text in SAID.items():
                    speech = espeak.say(text, Manner(voice=voice, words_per_minute=240, pitch=pitch, liveliness=50))
                    name = f"clips/{split}-{voice}-{pitch}-{emotion}.wav"
                    soundfile.write(folder / name, speech, SAMPLE_RATE)
                    rows.append(f"{name},{split},{emotion}")
    (folder / "my.csv").write_text("\n".join(rows) + "\n")
