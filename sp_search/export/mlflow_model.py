"""The exported folder as a model of MLflow's, for `mlflow.pyfunc.load_model(FOLDER)` and `mlflow models serve`.

MLflow reads MLmodel and calls `_load_pyfunc` of the module it names; nothing here imports MLflow. `model_config` says
what a prompt can't carry: `lm` is a path or a known name, `cache` is where downloads and imported LMs are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from sp_search.engine.runtime.device import pick_device
from sp_search.export.folder import needed_quantizer
from sp_search.export.predictor import Predictor, load_predictor
from sp_search.files.paths import is_there, user_path
from sp_search.host import cores
from sp_search.lm.unit_tokens import GivenTokens
from sp_search.lm.zoo import load_lm
from sp_search.units.clips import listed_clips, unit_lines
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import read_units
from sp_search.units.textless import encoder_of
from sp_search.units.unitizer import Unitizer, UnitizerRecipe


class UnitModel:
    """What MLflow wraps: lines of units or paths of audio in, a record an utterance out."""

    def __init__(self, predictor: Predictor, dictionary: Dictionary, unitizer: Callable[[], Unitizer]) -> None:
        """Join an exported prompt on its LM, that LM's dictionary, and what builds the maker of units of audio."""
        self._predictor, self._dictionary, self._unitizer = predictor, dictionary, unitizer

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Answer utterances: id, labels and score of the best answer, as `sp-search predict` prints them.

        Args:
            model_input: lines of units, or paths of audio files where the model runs; or a table with a column of
                them, as MLflow makes of a list.
            params: `top` above 1 adds the scores of that many answers; MLflow checks it by the signature in MLmodel.

        Raises:
            DataError: a line is wrong, or a file can't be read; as `read_units` and `unit_lines`.
            CheckpointError: the prompt names no quantizer, and the input is audio.
        """
        given: Iterable[str] = model_input.iloc[:, 0] if hasattr(model_input, "columns") else model_input
        lines = [str(line) for line in given]
        if clips := listed_clips(lines, Path()):
            lines = [line for some in unit_lines(self._unitizer, clips, "input") for line in some]
        asked = read_units(lines, self._dictionary, "input")
        top = (params or {}).get("top", 1)
        return [prediction.to_json(top) for prediction in self._predictor.predict(asked)]


def _load_pyfunc(path: str, model_config: Mapping[str, Any]) -> UnitModel:
    """An exported folder as MLflow loads it, `model_config` over what its MLmodel says.

    Raises:
        UserError: the LM can't be had, or the folder is wrong; as `load_lm` and `load_predictor`.
    """
    asked = user_path(str(model_config["lm"]), "lm")
    cache = user_path(str(model_config["cache"]), "cache")
    given = GivenTokens(**model_config["lm_tokens"]) if "lm_tokens" in model_config else None
    loaded = load_lm(model_config["lm"], asked if is_there(asked) else None, cache, given)
    device = pick_device(model_config["device"])
    predictor, document = load_predictor(
        Path(path), loaded.lm, loaded.dictionary, device=device, dtype=model_config["dtype"]
    )

    @lru_cache(maxsize=1)
    def unitizer() -> Unitizer:
        quantizer = needed_quantizer(Path(path), document)
        checkpoint = encoder_of(quantizer.features, None, cache)
        return UnitizerRecipe(quantizer=quantizer, checkpoint=checkpoint, device=device.type, threads=cores())()

    return UnitModel(predictor, loaded.dictionary, unitizer)
