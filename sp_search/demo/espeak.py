"""Text in, speech out: a thin wrapper around the espeak-ng library that `espeakng_loader` ships (speak_lib.h)."""

from __future__ import annotations

import ctypes
from typing import Any

import espeakng_loader
import numpy as np
import soxr

from sp_search.demo.voices import Manner
from sp_search.errors import UserError
from sp_search.units.features import SAMPLE_RATE, Floats

SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples come through the callback before espeak_Synth returns
RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER
CHARACTERS = 1  # POS_CHARACTER
UTF8 = 1  # espeakCHARS_UTF8
BUFFER_MS = 1000
CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Espeak:
    """The synthesiser. The library keeps one state a process, so there should be one of these a process.

    That state (the phase of its flutter and breath noise) runs on from utterance to utterance and can't be set back:
    the same text twice differs in its samples. What is to be repeatable must start in a new process.
    """

    def __init__(self) -> None:
        """Load the library.

        Raises:
            UserError: the library is not there or does not start.
        """
        try:
            self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as error:
            raise UserError(f"espeak-ng: expected the library of the package espeakng-loader, got {error}") from error
        self._chunks: list[bytes] = []
        self._callback = CALLBACK(self._take)  # kept: the library holds only a pointer
        data = espeakng_loader.get_data_path().encode()
        self._rate = self._library.espeak_Initialize(SYNCHRONOUS, BUFFER_MS, data, 0)
        if self._rate <= 0:
            raise UserError(f"espeak-ng: expected a sample rate from its start, got {self._rate}")
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, manner: Manner) -> Floats:
        """Speak.

        Returns:
            (S,), 16 kHz, full scale 1; not a sample of silence is added or cut.

        Raises:
            UserError: there is no such voice, or nothing was said.
        """
        if self._library.espeak_SetVoiceByName(manner.voice.encode()):
            raise UserError(f"espeak-ng: expected a voice such as en-us+f2, got {manner.voice!r}")
        settings = {RATE: manner.words_per_minute, PITCH: manner.pitch, RANGE: manner.liveliness}
        for name, value in settings.items():
            self._library.espeak_SetParameter(name, value, 0)
        self._chunks.clear()
        encoded = text.encode() + b"\0"
        failed = self._library.espeak_Synth(encoded, len(encoded), 0, CHARACTERS, 0, UTF8, None, None)
        if failed or not self._chunks:
            raise UserError(f"espeak-ng: expected speech for {text!r}, got none (error {failed})")
        samples = np.frombuffer(b"".join(self._chunks), dtype=np.int16).astype(np.float32) / 32768
        return soxr.resample(samples, self._rate, SAMPLE_RATE)

    def _take(self, samples: Any, count: int, _events: object) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0  # go on
