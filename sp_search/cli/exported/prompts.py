"""Exported prompts over one LM, ready to answer: `predict`, `evaluate` and `sp_search.load` stand on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from sp_search.engine.runtime.device import DeviceName, DtypeName, pick_device
from sp_search.errors import ConfigError, DownloadError, UserError
from sp_search.export.document import load_export
from sp_search.export.folder import lm_tokens_in, needed_quantizer
from sp_search.export.predictor import Prediction, Predictor, predictor_on
from sp_search.export.shared_weights import SharedWeights
from sp_search.files.paths import is_there, user_path
from sp_search.lm.unit_tokens import GivenTokens, agreed_tokens
from sp_search.lm.zoo import load_lm
from sp_search.published.catalogue import ENCODERS
from sp_search.published.download import place_of
from sp_search.types import Split
from sp_search.units.clips import Asked, unit_lines
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import read_units
from sp_search.units.partners import UnitOrigin, check_origins, lm_origin, prompt_origin
from sp_search.units.quantizer import EncoderFeatures, Features, Quantizer
from sp_search.units.recordings import Recording
from sp_search.units.textless import encoder_of
from sp_search.units.unitizer import Unitizer, UnitizerRecipe

TOGETHER = 4096
"""Units of the utterances that several prompts answer before the next ones come: their source states are kept."""
KEPT_BYTES = 2**30
"""Of these states, at most."""


@dataclass(frozen=True)
class LMChoice:
    """The LM of prompts, and where things are downloaded to."""

    name: str
    path: Path | None  # a checkpoint or its folder; None for a name that is known
    cache: Path
    encoder: Path | None = None  # the file of the speech model, for audio; None = the published one
    tokens: GivenTokens | None = None  # which token is which unit, where an LM's folder does not say it


@dataclass(frozen=True)
class LoadedPrompt:
    """One exported folder."""

    folder: Path
    document: Mapping[str, Any]  # its prompt.json
    predictor: Predictor
    origin: UnitOrigin  # of the units that it was trained on


class Prompts:
    """One exported prompt or several, over one LM. Not for two threads at once."""

    def __init__(
        self,
        folders: Sequence[Path],
        lm: LMChoice,
        *,
        device: DeviceName = "auto",
        dtype: DtypeName = "auto",
        threads: int = 1,
    ) -> None:
        """Load the LM once, and every prompt.

        Args:
            folders: the exported folders, one or more.
            lm: that they were all trained on.
            device: where they answer.
            dtype: the arithmetic; auto is the one that each was trained in, so that answers are the same everywhere.
            threads: of the speech model.

        Raises:
            UserError: the LM or a folder is wrong, or they don't belong together.
        """
        if not folders:
            raise ConfigError("prompt: expected an exported folder or several, got none")
        self._lm, self._dtype, self._threads = lm, dtype, threads
        self.device = pick_device(device)
        recorded = {folder: lm_tokens_in(folder, load_export(folder)[1]) for folder in folders}
        loaded = load_lm(lm.name, lm.path, lm.cache, agreed_tokens(lm.tokens or GivenTokens(), recorded))
        self.dictionary: Dictionary = loaded.dictionary
        kept = KEPT_BYTES if len(folders) > 1 else 0
        self._shared = SharedWeights(loaded.lm, loaded.dictionary, self.device, keep_bytes=kept)
        self.loaded = [self._load(folder) for folder in folders]

    def _load(self, folder: Path) -> LoadedPrompt:
        predictor, document = predictor_on(self._shared, folder, self._dtype)
        return LoadedPrompt(folder, document, predictor, prompt_origin(folder, document))

    def reloaded(self) -> Prompts:
        """The same folders read again, on the same LM.

        Raises:
            CheckpointError: a folder is not whole, or belongs to another LM or other units by now.
        """
        again = copy(self)
        for made in ("unitizer", "audio_fault"):
            again.__dict__.pop(made, None)
        again.loaded = [again._load(prompt.folder) for prompt in self.loaded]
        again.check_units()
        return again

    def check_units(self, *others: UnitOrigin) -> list[str]:
        """Compare the quantizers of the prompts, of the LM and of others.

        Returns:
            A line for each that does not know its own while another one does.

        Raises:
            CheckpointError: two are of different quantizers.
        """
        built_in = demo_quantizer() if self._lm.path is None and self._lm.name == "demo" else None
        of_lm = lm_origin(self._lm.name, self._lm.path, built_in)
        return check_origins(*(prompt.origin for prompt in self.loaded), of_lm, *others)

    def predict(self, split: Split) -> Iterator[tuple[Prediction, ...]]:
        """The answers to each utterance, one a prompt.

        Raises:
            DataError: an utterance is longer than the LM has positions.
        """
        if len(self.loaded) == 1:
            yield from ((prediction,) for prediction in self.loaded[0].predictor.predict(split))
            return
        for part in _parts(split):
            yield from zip(*[list(prompt.predictor.predict(part)) for prompt in self.loaded], strict=True)
            self._shared.forget_sources()

    def of_lines(self, lines: Iterable[str], place: str) -> Iterator[tuple[Prediction, ...]]:
        """The answers to lines of units, in any form that a search takes; raises as `read_units` and `predict`."""
        yield from self.predict(read_units(lines, self.dictionary, place))

    def of_clips(self, clips: Sequence[Recording], place: str) -> Iterator[tuple[Prediction, ...]]:
        """The answers to audio files; raises as `unit_lines` and `predict`."""
        for lines in unit_lines(lambda: self.unitizer, clips, place):
            if lines:
                yield from self.of_lines(lines, place)

    def of_asked(self, asked: Asked, place: str) -> Iterator[tuple[Prediction, ...]]:
        """The answers to what was asked, lines or clips."""
        return self.of_clips(asked.clips, place) if asked.clips else self.of_lines(asked.lines, place)

    def check_audio(self) -> None:
        """Refuse audio where no units can be made of it; raises as `unitizer`."""
        self.unitizer  # noqa: B018, built now, so that a fault comes before any work

    @cached_property
    def audio_fault(self) -> UserError | None:
        """Why audio can't be answered without a download; None once what makes its units is built."""
        try:
            quantizer = needed_quantizer(self.loaded[0].folder, self.loaded[0].document)
            if missing := self._missing_model(quantizer.features):
                return DownloadError(
                    f"audio: expected the speech model that its units come from, found no {missing}; answer one clip "
                    f"with sp-search predict, which downloads it, then start again or load the folders again"
                )
            self.check_audio()
        except UserError as error:
            return error
        return None

    def _missing_model(self, features: Features) -> Path | None:
        """Where the published speech model of these features belongs, if it is needed and not there."""
        if not isinstance(features, EncoderFeatures) or self._lm.encoder is not None:
            return None
        published = ENCODERS.get(features.settings.kind)
        if published is None or published.sha256 not in (None, features.checkpoint):
            return None
        path = place_of(published, self._lm.cache)
        return None if is_there(path) else path

    @cached_property
    def unitizer(self) -> Unitizer:
        """What makes units of audio in the same way as for the corpus of the prompts; built at its first use.

        Raises:
            CheckpointError: a folder names no quantizer, or it is missing.
            DownloadError: a published speech model can't be downloaded.
        """
        first = self.loaded[0]
        quantizer = needed_quantizer(first.folder, first.document)
        recipe = UnitizerRecipe(
            quantizer=quantizer,
            checkpoint=encoder_of(quantizer.features, self._lm.encoder, self._lm.cache),
            device=self.device.type,
            threads=self._threads,
        )
        return recipe()


def exported_folders(prompt: str) -> list[Path]:
    """The folders that `prompt=` names: one, or several with commas between them.

    Raises:
        ConfigError: one is named twice, is no path, or may not be looked at.
    """
    folders = [folder.absolute() for folder in _named_folders(prompt)]
    if len(set(folders)) < len(folders):
        raise ConfigError("prompt: expected each folder once, got one of them twice")
    return folders


def _named_folders(prompt: str) -> list[Path]:
    """Those between the commas; or one alone, in whose own name the commas are."""
    try:
        whole = user_path(prompt, "prompt")
        is_one = is_there(whole)
    except ConfigError:
        if "," not in prompt:
            raise
        is_one = False  # several names may be longer together than a path can be
    return [whole] if is_one else [user_path(name, "prompt") for name in prompt.split(",")]


def prompt_names(folders: Sequence[Path]) -> list[str]:
    """What prompts are called: the names of their folders, or the paths where two have the same name."""
    short = [folder.name for folder in folders]
    return short if len(set(short)) == len(short) else [str(folder) for folder in folders]


def answer_record(answers: Sequence[Prediction], names: Sequence[str], top: int) -> dict[str, Any]:
    """The answers to an utterance, one a prompt, as `predict` prints them and `serve` sends them.

    Args:
        answers: of one prompt or several.
        names: of the prompts.
        top: answers with their scores; 1 = the best one and its score alone.
    """
    told = [answer.to_json(top) for answer in answers]
    if len(told) == 1:
        return told[0]
    ids = [answer.pop("id") for answer in told]
    return {"id": ids[0], "prompts": dict(zip(names, told, strict=True))}


def demo_quantizer() -> Quantizer:
    """The quantizer of the demo corpus and its LM."""
    return Quantizer.load(Path(str(files("sp_search") / "demo" / "assets" / "quantizer.safetensors")))


def _parts(split: Split) -> Iterator[Split]:
    """The utterances in their order, some thousand units at a time."""
    behind = np.cumsum(np.diff(split.offsets)) // TOGETHER
    for part in np.split(np.arange(len(split)), np.flatnonzero(np.diff(behind)) + 1):
        yield split.take(part.astype(np.int64))
