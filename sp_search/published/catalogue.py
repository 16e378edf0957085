"""Unit LMs that others published, with the quantizers and speech encoders of their units, and where they are.

Addresses: of the textless NLP project's GSLM, fairseq, `examples/textless_nlp/gslm/ulm/README.md` and
`.../speech2unit/README.md`; of TWIST, textlesslib, `examples/twist/speech_lm.py`; of Slam, slamkit, `README.md`.
Checksums: textlesslib, `textless/checkpoint_manager/__init__.py`; none of the LMs, of log-mel or of wav2vec 2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_HOST = "https://dl.fbaipublicfiles.com"
_GSLM = f"{_HOST}/textless_nlp/gslm"
_TWIST = f"{_HOST}/textless_nlp/twist"
_SLAM = "https://huggingface.co/slprl"


@dataclass(frozen=True)
class PublishedFile:
    """A file that others published."""

    url: str
    sha256: str | None = None  # hex; None: its publisher gives none, so it is pinned on first use


@dataclass(frozen=True, kw_only=True)
class PublishedLM:
    """A unit LM that others published."""

    files: tuple[PublishedFile, ...]  # those of its folder, or one archive
    members: tuple[str, ...] = ()  # what is taken of the archive, as patterns of names; none: `files` are the folder
    units: str  # what it was trained on, by the name in UNITS
    licence: str  # of its weights, as far as the publisher says it


ENCODERS: Mapping[str, PublishedFile] = {
    "hubert": PublishedFile(
        f"{_HOST}/hubert/hubert_base_ls960.pt",
        "1703cf8d2cdc76f8c046f5f6a9bcd224e0e6caf4744cad1a1f4199c32cac8c8d",
    ),
    "cpc": PublishedFile(
        f"{_GSLM}/cpc/cpc_big_ll6kh_top_ctc.pt",
        "73155dad5d7c986fe7b7f548050060a8e9cc9a0ffd111a22932f38c3e617c5b8",
    ),
    "w2v2": PublishedFile(f"{_HOST}/fairseq/wav2vec/wav2vec_vox_new.pt"),
    "mhubert25": PublishedFile(
        f"{_TWIST}/speech_tokenizer/mhubert_base_25hz_cp_mls_cv_sp_fisher.pt",
        "edf0f5be2581a568a236aeb2781a5607c5af25806e12f40f7f2391e861fe3cf0",
    ),
}
"""Speech encoders by kind; log-mel needs none."""

_QUANTIZER_SHA256 = {
    "cpc50": "c48be5717aebc08169aa5165d58267449b8c8568624a346bb9f4b26eac3b0240",
    "cpc100": "077b96e010b1e87be627ef2bef0f5e5cdaa1c01722aa363b2dc0bb6a638e8b26",
    "cpc200": "2d863d1c6f251d19e667998248c87642ecb5e3ffaa410e9ebfa64341db4f6de2",
    "hubert50": "d01a7d5bc2c54b7b5f25f321ba525b4d230b06e3927f90bad0394198bc89f494",
    "hubert100": "f14a3104615485381fc489701d6761c9abbdbb0d43607cf55518a1e2891023fe",
    "hubert200": "b3c46c9cdd1707ad852dd53c359aa73942e79d53c432a9a8a419ed046408024b",
}

_GSLM_UNITS = {
    f"{stem}{size}": (kind, size)
    for kind, stem in {"hubert": "hubert", "cpc": "cpc", "w2v2": "w2v2_", "logmel": "logmel"}.items()
    for size in (50, 100, 200)
}

UNITS = {**_GSLM_UNITS, "mhubert25": ("mhubert25", 500)}
"""Kinds of units as their publisher abbreviates them, hubert100, w2v2_50, with encoder and number of clusters."""

QUANTIZERS: Mapping[str, PublishedFile] = {
    units: PublishedFile(f"{_GSLM}/{kind}/km{size}/km.bin", _QUANTIZER_SHA256.get(units))
    for units, (kind, size) in _GSLM_UNITS.items()
} | {
    "mhubert25": PublishedFile(
        f"{_TWIST}/speech_tokenizer/mhubert_base_25hz_cp_mls_cv_sp_fisher_L11_km500.bin",
        "03cc04a9c24fec4285e73e709c485756d8f116aa8e724eac555de6a7cf8d28ad",
    )
}
"""k-means by kind of units: a joblib pickle of scikit-learn's."""

CONFIG = "config.json"
_FAIRSEQ = ("checkpoint_best.pt", "dict.txt")
_FOLDER = (CONFIG, "*.safetensors", "pytorch_model*.bin", "*.index.json")
_MIT = "MIT"
_OF_START = "MIT (textlesslib); it was started from {}, whose licence the publisher does not repeat"

LMS: Mapping[str, PublishedLM] = {
    **{
        f"gslm_{units}": PublishedLM(
            files=(PublishedFile(f"{_GSLM}/{kind}/lm_km{size}/{units}_lm.tgz"),),
            members=_FAIRSEQ,
            units=units,
            licence=_MIT,
        )
        for units, (kind, size) in _GSLM_UNITS.items()
    },
    **{
        name: PublishedLM(
            files=tuple(
                PublishedFile(f"{_SLAM}/{name}/resolve/main/{file}") for file in (CONFIG, "model.safetensors")
            ),
            units="mhubert25",
            licence=_MIT,
        )
        for name in ("slam", "slam_scaled")
    },
    **{
        f"twist_{size.lower().replace('.', '_')}": PublishedLM(
            files=(PublishedFile(f"{_TWIST}/lms/TWIST-{size}.zip"),),
            members=_FOLDER,
            units="mhubert25",
            licence=_OF_START.format(start),
        )
        for size, start in {"350M": "OPT", "1.3B": "OPT", "7B": "LLaMA"}.items()
    },
}
"""Unit LMs by the name that `lm=` takes."""
