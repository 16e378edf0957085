"""Which published LM a corpus in units is for."""

import pytest

from sp_search.cli.advice.next_steps import lm_of_units
from sp_search.cli.settings.compose import load_settings
from sp_search.config import Settings


@pytest.mark.parametrize(
    ("words", "lm"),
    [
        (["units=hubert"], "gslm_hubert100"),
        (["units=mhubert25"], "slam"),
        (["units=mhubert25", "units.encoder.pad=0"], "twist_350m"),
        (["units=logmel", "units.quantizer=null"], ""),
    ],
)
def test_units_lead_to_the_lm_that_was_trained_on_them(words, lm):
    assert lm_of_units(load_settings(words, Settings).units) == lm
