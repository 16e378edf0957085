"""What a worker does with each utterance: audio to frames to units, one utterance at a time.

A batch padded to one length would change units: the padding is heard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sp_search.errors import CheckpointError, DataError, ShapeError
from sp_search.published.pins import sha256_of
from sp_search.units.audio import load_audio
from sp_search.units.encoder import Encoder, EncoderSettings
from sp_search.units.features import FeatureSettings, Floats, frames
from sp_search.units.quantizer import EncoderFeatures, Features, Quantizer
from sp_search.units.recordings import Recording
from sp_search.units.transformers_folder import CONFIG, weight_files

Extract = Callable[[Floats], Floats]
"""(S,) samples at 16 kHz to (T, D) frames; ShapeError where the audio is too short for one."""


@dataclass(frozen=True)
class Heard:
    """What became of a recording."""

    key: str
    units: tuple[int, ...]  # reduced; () where there is a fault
    fault: str  # why it can't be read, else empty


@dataclass(frozen=True, kw_only=True)
class UnitizerRecipe:
    """What a worker builds its unitizer from; small, for it is sent there."""

    quantizer: Quantizer
    checkpoint: Path | None  # of the speech model, where the quantizer's features are a model's
    device: str
    threads: int  # of the worker's processor

    def __call__(self) -> Unitizer:
        """Build it, in the worker's process.

        Raises:
            CheckpointError: as `extractor`.
        """
        if self.checkpoint is not None:
            import torch

            torch.set_num_threads(self.threads)
        extract = extractor(self.quantizer.features, self.checkpoint, self.device)
        return Unitizer(extract, self.quantizer)


@dataclass(frozen=True)
class Unitizer:
    """Makes units of audio."""

    extract: Extract
    quantizer: Quantizer

    def __call__(self, key: str, recording: Recording) -> Heard:
        """What becomes of a recording; one that can't be read has a fault."""
        try:
            units = self.quantizer.units_of(hear_frames(self.extract, recording))
        except DataError as error:
            return Heard(key, (), str(error))
        return Heard(key, tuple(units.tolist()), "")

    def units_of_samples(self, samples: Floats, place: str) -> tuple[int, ...]:
        """The units of samples at hand: (S,) at 16 kHz, full scale 1.

        Raises:
            DataError: they are too few for one frame.
        """
        try:
            return tuple(self.quantizer.units_of(self.extract(samples)).tolist())
        except ShapeError as error:
            raise DataError(f"{place}: {error}") from error


def features_of(
    signal: FeatureSettings | None, encoder: EncoderSettings | None, checkpoint: Path | None, device: str
) -> Features:
    """What frames are made of, by its settings; a speech model is loaded once to know its size.

    Raises:
        CheckpointError: as `Encoder` raises it.
    """
    if signal is not None:
        return signal
    assert encoder is not None
    assert checkpoint is not None
    size = Encoder(encoder, checkpoint, device).size
    return EncoderFeatures(settings=encoder, checkpoint=_sha256(checkpoint), size=size)


def extractor(features: Features, checkpoint: Path | None, device: str) -> Extract:
    """The function that makes frames.

    Raises:
        CheckpointError: the speech model's file is not given, is bad, or is another than the features are of.
    """
    if isinstance(features, FeatureSettings):
        return partial(frames, settings=features)
    if checkpoint is None or _sha256(checkpoint) != features.checkpoint:
        raise CheckpointError(
            f"units.checkpoint: expected the {features.settings.kind} model of sha256 {features.checkpoint[:12]}..., "
            f"got {checkpoint or 'none'}; name its file with units.checkpoint=PATH"
        )
    return Encoder(features.settings, checkpoint, device)


def hear_frames(extract: Extract, recording: Recording) -> Floats:
    """(T, D): the frames of a recording.

    Raises:
        DataError: it can't be read, or is too short.
    """
    try:
        return extract(load_audio(recording.path, recording.start_s, recording.duration_s))
    except ShapeError as error:
        raise DataError(f"{recording.path}: {error}") from error


def _sha256(checkpoint: Path) -> str:
    """sha256 of a model's file; of a folder, over those of its settings and weights."""
    try:
        if not checkpoint.is_dir():
            return sha256_of(checkpoint)
        parts = [sha256_of(file) for file in (checkpoint / CONFIG, *weight_files(checkpoint))]
    except OSError as error:
        raise CheckpointError(f"{checkpoint}: expected a speech model's checkpoint, got {error.strerror}") from error
    return hashlib.sha256("".join(parts).encode()).hexdigest()
