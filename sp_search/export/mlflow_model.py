"""The exported folder as a model of MLflow's, for `mlflow.pyfunc.load_model(FOLDER)` and `mlflow models serve`.

MLflow reads MLmodel and calls `_load_pyfunc` of the module it names, so this module is imported by MLflow alone.
`model_config` says what a prompt can't carry: `lm` is a known name or a path, `cache` is where downloads and imported
LMs are kept. The environment variable SP_SEARCH_LM stands above both.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from sp_search.engine.runtime.device import pick_device
from sp_search.errors import CheckpointError, UserError
from sp_search.export.document import load_export
from sp_search.export.folder import needed_quantizer
from sp_search.export.given_audio import audio_in_base64
from sp_search.export.predictor import Predictor, load_predictor
from sp_search.files.paths import default_cache, is_there, user_path
from sp_search.host import cores
from sp_search.lm.known import find_lm
from sp_search.lm.unit_tokens import GivenTokens
from sp_search.lm.zoo import LoadedLM, is_known, load_lm
from sp_search.units.clips import listed_clips, unit_lines
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import read_units
from sp_search.units.recordings import Recording
from sp_search.units.textless import encoder_of
from sp_search.units.unit_line import unit_line
from sp_search.units.unitizer import Unitizer, UnitizerRecipe

LM_VARIABLE = "SP_SEARCH_LM"


class BadInputError(MlflowException):
    """An input that can't be answered: MLflow's server makes a 400 of it, whose message is one line.

    MLflow puts the whole input before the message of an error; here the message stays what it is.
    """

    def __init__(self, error: UserError) -> None:
        """Say what this error says."""
        self._line = " ".join(str(error).split())
        super().__init__(self._line, error_code=BAD_REQUEST)

    def serialize_as_json(self) -> str:
        """What a client reads."""
        return json.dumps({"error_code": self.error_code, "message": self._line})


class UnitModel:
    """What MLflow wraps: lines of units, paths of audio or audio in base64 in, a record an utterance out."""

    def __init__(self, predictor: Predictor, dictionary: Dictionary, unitizer: Callable[[], Unitizer]) -> None:
        """Join an exported prompt on its LM, that LM's dictionary, and what builds the maker of units of audio."""
        self._predictor, self._dictionary, self._unitizer = predictor, dictionary, unitizer
        self._turn = threading.Lock()  # MLflow's server answers each request in a thread of its own

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Answer utterances: id, labels and score of the best answer, as `sp-search predict` prints them.

        Args:
            model_input: lines of units, paths of audio files where the model runs, or the bytes of audio files in
                base64; or a table with a column of them, as MLflow makes of a list.
            params: `top` above 1 adds the scores of that many answers; MLflow checks it by the signature in MLmodel.

        Raises:
            BadInputError: a line is wrong, a file can't be read, an utterance is too long, or the input is audio and
                the prompt names no quantizer.
        """
        given: Iterable[Any] = model_input.iloc[:, 0] if hasattr(model_input, "columns") else model_input
        try:
            with self._turn:
                asked = read_units(self._lines([str(one) for one in given]), self._dictionary, "input")
                found = list(self._predictor.predict(asked))
        except UserError as error:
            raise BadInputError(error) from error
        top = (params or {}).get("top", 1)
        return [prediction.to_json(top) for prediction in found]

    def _lines(self, given: Sequence[str]) -> list[str]:
        """What is given as lines of units, in its order; all audio is heard at once."""
        with TemporaryDirectory() as folder:
            clips: dict[int, Recording] = {}
            for at, text in enumerate(given):
                if audio := audio_in_base64(text):
                    path = Path(folder) / str(at + 1)
                    path.write_bytes(audio)
                    clips[at] = Recording(id=str(at + 1), split="", path=path, labels=())
                elif listed := listed_clips([text], Path()):
                    (clips[at],) = listed
            heard: list[str] = []
            try:
                if clips:
                    heard = [line for some in unit_lines(self._unitizer, [*clips.values()], "input") for line in some]
            except UserError as error:
                raise type(error)(str(error).replace(f"{folder}/", "audio ")) from error
        if not clips:
            return list(given)
        lines = dict(zip(clips, heard, strict=True))
        return [lines.get(at) or _as_json(str(at + 1), text) for at, text in enumerate(given)]


def _as_json(name: str, text: str) -> str:
    """A line of units in the form of those that audio became."""
    return text if text.lstrip().startswith("{") else unit_line(name, text)


def _load_pyfunc(path: str, model_config: Mapping[str, Any]) -> UnitModel:
    """An exported folder as MLflow loads it, `model_config` over what its MLmodel says.

    Raises:
        UserError: the LM can't be had, or the folder is wrong; as `load_lm` and `load_predictor`.
    """
    folder = Path(path)
    cache = user_path(str(model_config["cache"] or default_cache()), "cache")
    loaded = _lm(load_export(folder)[1]["lm"]["fingerprint"], model_config, cache)
    device = pick_device(model_config["device"])
    predictor, document = load_predictor(
        folder, loaded.lm, loaded.dictionary, device=device, dtype=model_config["dtype"]
    )

    @lru_cache(maxsize=1)
    def unitizer() -> Unitizer:
        quantizer = needed_quantizer(folder, document)
        checkpoint = encoder_of(quantizer.features, None, cache)
        return UnitizerRecipe(quantizer=quantizer, checkpoint=checkpoint, device=device.type, threads=cores())()

    return UnitModel(predictor, loaded.dictionary, unitizer)


def _lm(fingerprint: str, model_config: Mapping[str, Any], cache: Path) -> LoadedLM:
    """The LM of a prompt: the one that SP_SEARCH_LM or the settings name, or else the same one from the cache.

    Raises:
        CheckpointError: it is nowhere; or as `load_lm`.
    """
    said = os.environ.get(LM_VARIABLE)
    name = said or str(model_config["lm"])
    if is_known(name):
        return load_lm(name, None, cache)
    place = user_path(name, LM_VARIABLE if said else "lm").absolute()
    if is_there(place):
        given = GivenTokens(**model_config["lm_tokens"]) if "lm_tokens" in model_config else None
        return load_lm(place.name, place, cache, given)
    if not said and (found := find_lm(fingerprint, cache)) is not None:
        return LoadedLM(place.name, *found)
    raise CheckpointError(
        f"lm: expected the LM of this prompt (fingerprint {fingerprint[:12]}) at {place} or in {cache}, found it in "
        f"neither; name its checkpoint or folder with the environment variable {LM_VARIABLE}"
    )
