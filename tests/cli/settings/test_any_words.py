"""Any words after a command are settings, or refused in one line."""

import contextlib

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sp_search.cli.settings.compose import load_settings
from sp_search.cli.settings.from_dict import leaves
from sp_search.cli.settings.overrides import GROUPS, SHORT
from sp_search.config import Settings
from sp_search.errors import ConfigError

KEYS = st.sampled_from(
    [*GROUPS, *SHORT, *leaves(Settings), "space.lr", "space.x", "space.", "space.lr.float", "units.fit"]
)
ODD = [
    "", "null", "???", "${x}", "${oc.env:HOME}", "${", "$", "[", "]", "{a: 1", "{}", "[]", "[1,2]", "1,2", "'", '"',
    "\\", "1e999", "-0", "nan", "inf", "0x10", "1_000", "true", "~", "~x", "a: b", "!!python/none 1", "* 2", "&a",
    "a\nb", "\t", "\ud800", "é", "１０", "9" * 5000,
]  # fmt: skip
WORDS = st.builds("{}={}".format, KEYS, st.sampled_from(ODD) | st.text(max_size=8) | st.integers().map(str))
LOOSE = WORDS | st.sampled_from(ODD) | st.text(max_size=8) | KEYS.map("~{}".format) | KEYS.map("+{}=1".format)


@given(words=st.lists(LOOSE, min_size=1, max_size=3))
@example(["study=" + "9" * 5000])
@example(["train_utterances=" + "9" * 5000])
@example(["schedule.first_trials=[{lr: ???}]"])
@example(["space={lr: ${x}}"])
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_words_are_settings_or_refused(words):
    with contextlib.suppress(ConfigError):
        assert isinstance(load_settings(words, Settings), Settings)
