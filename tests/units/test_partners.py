"""Corpus, LM and prompt tell which quantizer made their units, and two that differ are refused."""

import json
import re

import pytest

from sp_search.errors import CheckpointError
from sp_search.units.encoder import EncoderSettings
from sp_search.units.partners import (
    UnitOrigin,
    check_origins,
    corpus_origin,
    lm_origin,
    prompt_origin,
    units_record,
)
from sp_search.units.prepare import quantizer_in
from sp_search.units.quantizer import EncoderFeatures
from tests.units.speech import quantizer

ONE, OTHER = "ab" * 32, "cd" * 32
HUBERT = EncoderSettings(kind="hubert", layer=6, window_s=100.0, overlap_s=10.0)


def meta(folder, fingerprint=ONE, **units):
    folder.mkdir(exist_ok=True)
    (folder / "meta.json").write_text(json.dumps({"quantizer_fingerprint": fingerprint, "units": units}))
    return folder


def hubert_meta(folder, name, count):
    return meta(folder, quantizer=name, features={"settings": {"kind": "hubert"}, "size": 768}, count=count)


def test_a_corpus_an_lm_and_a_prompt_of_one_quantizer_pass_without_a_word(tmp_path):
    corpus, lm = corpus_origin(meta(tmp_path / "units")), lm_origin("my", meta(tmp_path / "lm"))
    assert check_origins(corpus, lm, prompt_origin(tmp_path, {"quantizer_fingerprint": ONE})) == []


def test_an_lm_is_known_by_its_folder_and_by_its_checkpoint(tmp_path):
    (meta(tmp_path / "lm") / "checkpoint_best.pt").touch()
    assert lm_origin("my", tmp_path / "lm" / "checkpoint_best.pt").fingerprint == ONE


def test_two_quantizers_are_refused_with_both_fingerprints_and_a_next_step(tmp_path):
    corpus, lm = corpus_origin(meta(tmp_path / "units")), lm_origin("my", meta(tmp_path / "lm", OTHER))
    with pytest.raises(
        CheckpointError,
        match=r"^the LM .*/lm: expected units of the quantizer abababababab, as the corpus .*/units has them, got "
        r"units of the quantizer cdcdcdcdcdcd; .*: take a partner of the same quantizer$",
    ):
        check_origins(corpus, lm)


def test_who_does_not_know_is_named_only_where_another_knows(tmp_path):
    (tmp_path / "lm").mkdir()
    corpus, lm = corpus_origin(meta(tmp_path / "units")), lm_origin("my", tmp_path / "lm")
    assert check_origins(corpus, lm) == [
        f"the LM {tmp_path}/lm does not say which quantizer made its units, and the corpus {tmp_path}/units says "
        f"quantizer abababababab: make sure that they are of the same one"
    ]
    assert check_origins(lm, corpus_origin(tmp_path)) == []


def test_an_lm_of_random_weights_takes_any_units(tmp_path):
    assert check_origins(corpus_origin(meta(tmp_path / "units")), lm_origin("random:2x16x2", None)) == []


@pytest.mark.parametrize(
    ("name", "count", "lm", "fits"),
    [
        ("hubert100", 100, "gslm_hubert100", True),
        ("hubert50", 50, "gslm_hubert100", False),
        ("km.bin", 100, "gslm_hubert100", True),
        ("km.bin", 50, "gslm_hubert100", False),
        ("km.bin", 100, "gslm_cpc100", False),
        (None, 100, "gslm_hubert100", False),
    ],
)
def test_a_published_lm_is_known_by_the_catalogue(tmp_path, name, count, lm, fits):
    corpus = corpus_origin(hubert_meta(tmp_path / "units", name, count))
    if fits:
        assert check_origins(corpus, lm_origin(lm, None)) == []
        return
    with pytest.raises(
        CheckpointError, match=rf"^the LM {lm}: expected units of the quantizer abab.*, got units of t"
    ):
        check_origins(corpus, lm_origin(lm, None))


def test_a_prompts_quantizer_is_compared_with_a_published_lms_by_what_it_is():
    made_by = type(quantizer())(EncoderFeatures(settings=HUBERT, checkpoint=ONE, size=8), quantizer(100).centroids)
    prompt = prompt_origin("p", {"quantizer_fingerprint": made_by.fingerprint}, made_by)
    assert check_origins(prompt, lm_origin("gslm_hubert100", None)) == []
    with pytest.raises(CheckpointError, match=r"^the LM gslm_hubert50: expected units"):
        check_origins(prompt, lm_origin("gslm_hubert50", None))


def test_what_pretrain_writes_of_a_corpus_is_what_is_known_of_the_lm(tmp_path):
    corpus = hubert_meta(tmp_path / "units", "hubert100", 100)
    (tmp_path / "lm").mkdir()
    (tmp_path / "lm" / "meta.json").write_text(json.dumps(units_record(corpus, 0.25)))
    assert lm_origin("my", tmp_path / "lm") == UnitOrigin(
        who=f"the LM {tmp_path}/lm",
        fingerprint=ONE,
        published="hubert100",
        features="hubert",
        clusters=100,
        repeats=0.25,
    )
    (tmp_path / "plain").mkdir()
    assert units_record(tmp_path / "plain", 0.0) == {"quantizer_fingerprint": None, "units": {"repeats": 0.0}}


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"units": 3}', '{"units": {"features": 3, "count": "x"}}', "\xff"])
def test_a_meta_of_another_form_is_not_known(tmp_path, text):
    (tmp_path / "meta.json").write_text(text, encoding="latin-1")
    assert not corpus_origin(tmp_path).is_known
    assert quantizer_in(tmp_path) is None


def test_a_meta_that_says_a_key_twice_is_refused_by_all_who_read_it(tmp_path):
    path = tmp_path / "meta.json"
    path.write_text('{"quantizer_fingerprint": "aa",\n"quantizer_fingerprint": "bb"}')
    message = (
        f'{path} line 2: expected each key once, got "quantizer_fingerprint" again, as in line 1; take the wrong'
    )
    for read in (corpus_origin, quantizer_in, lambda folder: lm_origin("my", folder)):
        with pytest.raises(CheckpointError, match="^" + re.escape(message)):
            read(tmp_path)


def test_the_built_in_corpus_and_lm_are_known_by_their_quantizer():
    assert check_origins(corpus_origin(None, quantizer()), lm_origin("demo", None, quantizer())) == []
    with pytest.raises(CheckpointError):
        check_origins(corpus_origin(None, quantizer()), lm_origin("demo", None, quantizer(seed=1)))
