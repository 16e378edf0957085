import hashlib

import pytest

from sp_search.published.catalogue import ENCODERS, LMS, QUANTIZERS
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


def test_every_address_is_the_one_that_is_published():
    assert {name: file.url for name, file in LMS.items()} == {n: f"{GSLM}/{at}" for n, at in LM_LINKS.items()}
    assert {n: file.url for n, file in QUANTIZERS.items()} == {n: f"{GSLM}/{at}" for n, at in QUANTIZER_LINKS.items()}
    assert {name: file.url for name, file in ENCODERS.items()} == {
        "hubert": "https://dl.fbaipublicfiles.com/hubert/hubert_base_ls960.pt",
        "cpc": f"{GSLM}/cpc/cpc_big_ll6kh_top_ctc.pt",
        "w2v2": "https://dl.fbaipublicfiles.com/fairseq/wav2vec/wav2vec_vox_new.pt",
    }


def test_the_checksums_of_hubert_and_cpc_are_known():
    known = {name for files in (LMS, QUANTIZERS, ENCODERS) for name, file in files.items() if file.sha256}
    assert known == {"hubert", "cpc", "hubert50", "hubert100", "hubert200", "cpc50", "cpc100", "cpc200"}


@pytest.mark.parametrize("file", [f for files in (QUANTIZERS, ENCODERS) for f in files.values() if f.sha256])
def test_a_known_checksum_is_one(file):
    assert len(file.sha256) == 64
    int(file.sha256, 16)


def test_the_published_quantizer_has_its_checksum():
    content = shared("data", "speech", "hubert_base_ls960_L6_km100.bin").read_bytes()
    assert hashlib.sha256(content).hexdigest() == QUANTIZERS["hubert100"].sha256
