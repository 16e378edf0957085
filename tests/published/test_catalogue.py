import hashlib

import pytest

from sp_search.published.catalogue import ENCODERS, LMS, QUANTIZERS, UNITS
from tests.shared import shared

GSLM = "https://dl.fbaipublicfiles.com/textless_nlp/gslm"

LM_LINKS = {
    "gslm_logmel50": "logmel/lm_km50/logmel50_lm.tgz",
    "gslm_logmel100": "logmel/lm_km100/logmel100_lm.tgz",
    "gslm_logmel200": "logmel/lm_km200/logmel200_lm.tgz",
    "gslm_cpc50": "cpc/lm_km50/cpc50_lm.tgz",
    "gslm_cpc100": "cpc/lm_km100/cpc100_lm.tgz",
    "gslm_cpc200": "cpc/lm_km200/cpc200_lm.tgz",
    "gslm_hubert50": "hubert/lm_km50/hubert50_lm.tgz",
    "gslm_hubert100": "hubert/lm_km100/hubert100_lm.tgz",
    "gslm_hubert200": "hubert/lm_km200/hubert200_lm.tgz",
    "gslm_w2v2_50": "w2v2/lm_km50/w2v2_50_lm.tgz",
    "gslm_w2v2_100": "w2v2/lm_km100/w2v2_100_lm.tgz",
    "gslm_w2v2_200": "w2v2/lm_km200/w2v2_200_lm.tgz",
}
"""As fairseq's table in ulm/README.md links them."""

QUANTIZER_LINKS = {
    "logmel50": "logmel/km50/km.bin",
    "logmel100": "logmel/km100/km.bin",
    "logmel200": "logmel/km200/km.bin",
    "cpc50": "cpc/km50/km.bin",
    "cpc100": "cpc/km100/km.bin",
    "cpc200": "cpc/km200/km.bin",
    "hubert50": "hubert/km50/km.bin",
    "hubert100": "hubert/km100/km.bin",
    "hubert200": "hubert/km200/km.bin",
    "w2v2_50": "w2v2/km50/km.bin",
    "w2v2_100": "w2v2/km100/km.bin",
    "w2v2_200": "w2v2/km200/km.bin",
}
"""As the table in speech2unit/README.md links them."""


TWIST = "https://dl.fbaipublicfiles.com/textless_nlp/twist"
OTHER_LMS = {
    **{
        name: [
            f"https://huggingface.co/slprl/{name}/resolve/main/{file}"
            for file in ("config.json", "model.safetensors")
        ]
        for name in ("slam", "slam_scaled")
    },
    "twist_350m": [f"{TWIST}/lms/TWIST-350M.zip"],
    "twist_1_3b": [f"{TWIST}/lms/TWIST-1.3B.zip"],
    "twist_7b": [f"{TWIST}/lms/TWIST-7B.zip"],
}
SIZES = (50, 100, 200)


def test_every_address_is_the_one_that_is_published():
    assert {name: [file.url for file in lm.files] for name, lm in LMS.items()} == {
        **{name: [f"{GSLM}/{at}"] for name, at in LM_LINKS.items()}, **OTHER_LMS,
    }  # fmt: skip
    assert {name: file.url for name, file in QUANTIZERS.items()} == {
        **{name: f"{GSLM}/{at}" for name, at in QUANTIZER_LINKS.items()},
        "mhubert25": f"{TWIST}/speech_tokenizer/mhubert_base_25hz_cp_mls_cv_sp_fisher_L11_km500.bin",
    }
    assert {name: file.url for name, file in ENCODERS.items()} == {
        "hubert": "https://dl.fbaipublicfiles.com/hubert/hubert_base_ls960.pt",
        "cpc": f"{GSLM}/cpc/cpc_big_ll6kh_top_ctc.pt",
        "w2v2": "https://dl.fbaipublicfiles.com/fairseq/wav2vec/wav2vec_vox_new.pt",
        "mhubert25": f"{TWIST}/speech_tokenizer/mhubert_base_25hz_cp_mls_cv_sp_fisher.pt",
    }


def test_every_lm_says_its_units_and_its_licence():
    assert {name: lm.units for name, lm in LMS.items()} == {
        **{f"gslm_{units}": units for units in QUANTIZER_LINKS}, **dict.fromkeys(OTHER_LMS, "mhubert25"),
    }  # fmt: skip
    assert {lm.units for lm in LMS.values()} == set(UNITS) == set(QUANTIZERS)
    assert all(lm.licence.startswith("MIT") for lm in LMS.values())


def test_the_checksums_of_hubert_mhubert_and_cpc_are_known():
    known = {name for files in (QUANTIZERS, ENCODERS) for name, file in files.items() if file.sha256}
    assert known == {"hubert", "cpc", "mhubert25", *(f"{kind}{size}" for kind in ("hubert", "cpc") for size in SIZES)}
    assert not any(file.sha256 for lm in LMS.values() for file in lm.files)


@pytest.mark.parametrize("file", [f for files in (QUANTIZERS, ENCODERS) for f in files.values() if f.sha256])
def test_a_known_checksum_is_one(file):
    assert len(file.sha256) == 64
    int(file.sha256, 16)


def test_the_published_quantizer_has_its_checksum():
    content = shared("data", "speech", "hubert_base_ls960_L6_km100.bin").read_bytes()
    assert hashlib.sha256(content).hexdigest() == QUANTIZERS["hubert100"].sha256
