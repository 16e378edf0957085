"""A frozen speech model: 16 kHz samples in, the frames of one of its layers out.

It is fairseq's file, or a folder in the `transformers` format. One utterance at a time, unpadded, for padding changes
units. What each reader of fairseq's quantizer does is done here as well: HuBERT's input is normalised where its task
says so, wav2vec 2.0's never, and CPC starts anew every 4 s. A folder does not tell how its model was trained; what
fairseq's recipes normalise is what they norm frame by frame in every convolution (large models), and so is it here.

S samples   T frames   D features a frame
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sp_search.errors import CheckpointError, ConfigError, ShapeError
from sp_search.units.fairseq_file import model_settings, read_checkpoint
from sp_search.units.features import SAMPLE_RATE, Floats
from sp_search.units.group_norm import normed_over_all
from sp_search.units.transformers_encoder import load_encoder
from sp_search.units.transformers_frames import encoder_frames
from sp_search.units.windows import Window, in_windows

if TYPE_CHECKING:
    from torch import Tensor, nn

_LAYER = r"\([1-9]\d{0,3},[1-9]\d{0,2},[1-9]\d{0,2}\)"
_LAYERS = rf"\[{_LAYER}(,{_LAYER})*\](\*[1-9]\d?)?"
CONVOLUTIONS = re.compile(rf"{_LAYERS}(\+{_LAYERS})*")
"""What `conv_feature_layers` may be, blanks apart: fairseq evaluates it as Python."""
CPC_CHUNK = 64_000
"""Samples after which fairseq's CPC reader starts afresh; the published CPC units were made so."""
CPC_REACH = 8
"""Frames on either side that a convolved frame of CPC depends on are fewer: 465 samples, 160 a frame."""
UNBUILT = (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError)
"""What fairseq's models raise on settings that they can't be built from."""


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Which frames of which speech model."""

    kind: Literal["hubert", "mhubert25", "w2v2", "wavlm", "cpc"]  # mhubert25: HuBERT of 25 frames a second
    layer: int  # as fairseq's quantizer counts: the first is 1, wav2vec 2.0's is 0
    window_s: float  # all but cpc: seconds kept of what the model hears at once, above 0; CPC carries its state on
    overlap_s: float  # all but cpc: seconds that it hears on either side of a window besides, 0 or more
    pad: int = 0  # samples of silence before and behind an utterance, 0 or more

    def __post_init__(self) -> None:
        faults = []
        if self.layer < (0 if self.kind == "w2v2" else 1):
            faults.append(f"layer: expected {0 if self.kind == 'w2v2' else 1} or more, got {self.layer}")
        if not self.window_s > 0:
            faults.append(f"window_s: expected above 0, got {self.window_s}")
        faults += [
            f"{name}: expected 0 or more, got {value}"
            for name, value in (("overlap_s", self.overlap_s), ("pad", self.pad))
            if not value >= 0
        ]
        if faults:
            raise ConfigError("; ".join(faults))


class Encoder:
    """A speech model on its device, up to the layer that is wanted."""

    def __init__(self, settings: EncoderSettings, checkpoint: Path, device: str) -> None:
        """Load it.

        Raises:
            CheckpointError: the file is absent, damaged, holds what is not on the allow-list, is another kind of
                model, or has fewer layers.
        """
        build = _of_folder if checkpoint.is_dir() else FILES.get(settings.kind, _no_file)
        logging.getLogger("fairseq").setLevel(logging.WARNING)  # it tells every model's settings
        try:
            model, self.size, self._shortest, self._frames = build(settings, checkpoint)
        except UNBUILT as error:
            raise CheckpointError(
                f"{checkpoint}: expected settings that a {settings.kind} model can be built from, got {error}"
            ) from error
        self._model = model.to(device).eval().requires_grad_(False)
        self._device, self._pad = device, settings.pad

    def __call__(self, audio: Floats) -> Floats:
        """The frames of one utterance: (S,) to (T, D), float32.

        Raises:
            ShapeError: the audio is not one channel, or shorter than a frame.
        """
        import torch

        shortest = self._shortest - 2 * self._pad
        if audio.ndim != 1 or len(audio) < shortest:
            raise ShapeError(f"audio: expected one channel of {shortest} samples or more, got {audio.shape}")
        with torch.inference_mode():
            heard = torch.nn.functional.pad(torch.from_numpy(audio).to(self._device), (self._pad, self._pad))
            return self._frames(heard).float().cpu().numpy()


Built = tuple["nn.Module", int, int, Callable[["Tensor"], "Tensor"]]
"""The model, D, the fewest samples it takes, and (S,) to (T, D)."""


def _hubert(settings: EncoderSettings, path: Path) -> Built:
    import torch.nn.functional as F
    from fairseq.models.hubert.hubert import HubertConfig, HubertModel
    from fairseq.tasks.hubert_pretraining import HubertPretrainingConfig

    checkpoint = read_checkpoint(path, needed="model")
    found = model_settings(checkpoint, path)
    _check_transformer(found, settings.layer, path)
    config = _config(HubertConfig, {**found, "label_rate": 50})  # frames a second: targets, which are not computed
    model = HubertModel(config, HubertPretrainingConfig(sample_rate=SAMPLE_RATE), [None])
    _load(model, checkpoint["model"], path, unused={"label_embs_concat"})
    model.encoder.layers = model.encoder.layers[: settings.layer]
    normalize = bool(model_settings(checkpoint, path, "task").get("normalize"))

    def window(audio: Tensor) -> Tensor:
        return model.extract_features(audio[None], padding_mask=None, mask=False, output_layer=settings.layer)[0][0]

    def frames(audio: Tensor) -> Tensor:
        heard = F.layer_norm(audio, audio.shape) if normalize else audio
        return _in_windows(model, heard, window, windows)

    windows = _windows(model, settings)
    return model, config.encoder_embed_dim, windows.field, frames


def _wav2vec2(settings: EncoderSettings, path: Path) -> Built:
    from fairseq.models.wav2vec.wav2vec2 import Wav2Vec2Config, Wav2Vec2Model

    checkpoint = read_checkpoint(path, needed="model")
    found = model_settings(checkpoint, path)
    _check_transformer(found, settings.layer + 1, path)
    config = _config(Wav2Vec2Config, found)
    model = Wav2Vec2Model(config)
    _load(model, checkpoint["model"], path, unused=set())
    model.remove_pretraining_modules(last_layer=settings.layer)

    def window(audio: Tensor) -> Tensor:
        output = model(audio[None], mask=False, features_only=True, layer=settings.layer)
        return output["layer_results"][settings.layer][0][:, 0]

    windows = _windows(model, settings)
    return model, config.encoder_embed_dim, windows.field, lambda audio: _in_windows(model, audio, window, windows)


def _cpc(settings: EncoderSettings, path: Path) -> Built:
    import torch
    from fairseq.examples.textless_nlp.gslm.speech2unit.pretrained import cpc_feature_reader as cpc

    checkpoint = read_checkpoint(path, needed="weights")
    config = checkpoint.get("config")
    names = ("hiddenEncoder", "hiddenGar", "nLevelsGRU")
    if not isinstance(config, Mapping) or not all(isinstance(config.get(name), int) for name in names):
        raise CheckpointError(f"{path}: expected a CPC checkpoint with {', '.join(names)} under `config`, found none")
    hidden, size, levels = (config[name] for name in names)
    _check_layers(settings.layer, levels, path)
    model = cpc.CPCModel(cpc.CPCEncoder(hidden), cpc.CPCAR(hidden, size, False, settings.layer))
    unused = {name for name in checkpoint["weights"] if not name.startswith(("gEncoder.", "gAR."))}
    unused |= {
        name
        for name in checkpoint["weights"]
        if (level := re.search(r"_l(\d+)$", name)) and int(level[1]) >= settings.layer
    }
    _load(model, checkpoint["weights"], path, unused=unused)

    hop = model.gEncoder.DOWNSAMPLING
    window = Window(hop=hop, field=hop, kept=CPC_CHUNK // hop, overlap=CPC_REACH)

    def convolved(audio: Tensor) -> Tensor:
        return model.gEncoder(audio[None, None])[0].T

    def frames(audio: Tensor) -> Tensor:
        whole = len(audio) // CPC_CHUNK * CPC_CHUNK
        heard = [convolved(audio[start : start + CPC_CHUNK]) for start in range(0, whole, CPC_CHUNK)]
        found = [model.gAR(chunk[None])[0] for chunk in heard]
        if (
            len(audio) - whole >= hop
        ):  # fairseq's reader hears all of it once more, and keeps what lies behind the chunks
            found.append(model.gAR(in_windows(audio, convolved, window)[None])[0, whole // hop :])
        return torch.cat(found)

    return model, size, hop, frames


FILES = {"hubert": _hubert, "mhubert25": _hubert, "w2v2": _wav2vec2, "cpc": _cpc}
"""What reads fairseq's file of each kind."""
FOLDERS = {"hubert": "hubert", "mhubert25": "hubert", "w2v2": "wav2vec2", "wavlm": "wavlm"}
"""What `transformers` calls each kind."""


def _no_file(settings: EncoderSettings, path: Path) -> Built:
    raise CheckpointError(
        f"{path}: expected the folder of a {settings.kind} model in the transformers format, got a file"
    )


def _of_folder(settings: EncoderSettings, folder: Path) -> Built:
    import torch.nn.functional as F

    if settings.kind not in FOLDERS:
        raise CheckpointError(f"{folder}: expected fairseq's file of a {settings.kind} model, got a folder")
    layer = settings.layer + 1 if settings.kind == "w2v2" else settings.layer
    model, shape = load_encoder(folder, FOLDERS[settings.kind], layer)

    def frames(audio: Tensor) -> Tensor:
        heard = F.layer_norm(audio, audio.shape) if shape.feat_extract_norm == "layer" else audio
        return _in_windows(model, heard, partial(encoder_frames, model, shape), windows)

    windows = _windows(model, settings)
    return model, shape.hidden_size, windows.field, frames


def _windows(model: Any, settings: EncoderSettings) -> Window:
    """How frames lie on samples, from the convolutions that make them."""
    hop, field = 1, 1
    for layer in model.feature_extractor.conv_layers:
        field += (layer[0].kernel_size[0] - 1) * hop
        hop *= layer[0].stride[0]
    kept, overlap = (round(seconds * SAMPLE_RATE / hop) for seconds in (settings.window_s, settings.overlap_s))
    return Window(hop=hop, field=field, kept=max(1, kept), overlap=overlap)


def _in_windows(model: Any, audio: Tensor, frames: Callable[[Tensor], Tensor], windows: Window) -> Tensor:
    if windows.count(len(audio)) <= windows.kept:
        return frames(audio)
    with normed_over_all(model.feature_extractor, audio):
        return in_windows(audio, frames, windows)


def _check_transformer(found: Mapping[str, Any], layers: int, path: Path) -> None:
    """Refuse what this code was not written for, and what fairseq would run as Python."""
    convolutions = str(found.get("conv_feature_layers", "[(1,1,1)]")).replace(" ", "")
    if not CONVOLUTIONS.fullmatch(convolutions):
        raise CheckpointError(
            f"{path}: expected conv_feature_layers as [(size, width, stride), ...], got {convolutions!r:.80}; "
            f"nothing in it was run"
        )
    if found.get("layer_type", "transformer") != "transformer":
        raise CheckpointError(f"{path}: expected layer_type transformer, got {found['layer_type']!r}")
    have = found.get("encoder_layers", 12)
    if not isinstance(have, int):
        raise CheckpointError(f"{path}: expected encoder_layers as a number, got {have!r:.80}")
    _check_layers(layers, have, path)


def _check_layers(wanted: int, have: int, path: Path) -> None:
    if wanted > have:
        raise CheckpointError(f"{path}: expected an encoder of {wanted} layers or more for that layer, got {have}")


def _config(schema: type[Any], found: Mapping[str, Any]) -> Any:
    """fairseq's settings record of a model, from those of the checkpoint that it knows."""
    return schema(**{field.name: found[field.name] for field in fields(schema) if field.name in found})


def _load(model: nn.Module, weights: Mapping[str, Any], path: Path, unused: set[str]) -> None:
    """Fill a model with a checkpoint's weights in float32; each must have its place."""
    kept = {name: tensor.float() for name, tensor in weights.items() if name not in unused}
    try:
        missing, unexpected = model.load_state_dict(kept, strict=False)
    except RuntimeError as error:  # shapes that don't fit
        raise CheckpointError(f"{path}: expected the weights of its settings, got {error}") from error
    if missing or unexpected:
        raise CheckpointError(
            f"{path}: expected the weights of {type(model).__name__}; missing {', '.join(missing) or 'none'}; "
            f"unexpected {', '.join(unexpected) or 'none'}"
        )
