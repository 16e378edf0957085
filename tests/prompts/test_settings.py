import pytest

from sp_search.errors import ConfigError
from sp_search.prompts.settings import PromptSettings

BAD_VALUES = {
    "prompt_length": (dict(prompt_length=0), "prompt_length: expected 1 to 1024, got 0"),
    "depth": (dict(depth=-1), "depth: expected 0 or more, got -1"),
    "side": (dict(side="left"), "side: expected top or bottom, got 'left'"),
    "position": (dict(position="suffix"), "position: expected prefix, infix or both, got 'suffix'"),
    "both and deep": (
        dict(depth=2, position="both"),
        "position: expected prefix or infix with a deep prompt of depth 2, got both",
    ),
    "init": (dict(init="zeros"), "init: expected normal or embedding, got 'zeros'"),
    "init_scale 0": (dict(init_scale=0.0), "init_scale: expected above 0, got 0.0"),
    "init_scale negative": (dict(init_scale=-0.5), "init_scale: expected above 0, got -0.5"),
    "init_scale not a number": (dict(init_scale=float("nan")), "init_scale: expected above 0, got nan"),
    "dropout 1": (dict(dropout=1.0), "dropout: expected 0 or more and below 1, got 1.0"),
    "dropout negative": (dict(dropout=-0.1), "dropout: expected 0 or more and below 1, got -0.1"),
    "dropout not a number": (dict(dropout=float("nan")), "dropout: expected 0 or more and below 1, got nan"),
}


def settings(**changes):
    return PromptSettings(**{"prompt_length": 5, "depth": 0, **changes})


@pytest.mark.parametrize(("changes", "message"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_value_out_of_its_range_is_refused(changes, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        settings(**changes)


def test_all_faults_are_told_at_once():
    with pytest.raises(ConfigError, match=r"^prompt_length: .*; depth: .*; side: .*; dropout: [^;]*$"):
        settings(prompt_length=0, depth=-1, side="left", dropout=2)


@pytest.mark.parametrize(
    ("depth", "side", "layers"),
    [
        (0, "top", []),
        (0, "bottom", []),
        (1, "top", [5]),
        (1, "bottom", [0]),
        (4, "top", [2, 3, 4, 5]),
        (4, "bottom", [0, 1, 2, 3]),
        (6, "top", [0, 1, 2, 3, 4, 5]),
        (6, "bottom", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_depth_counts_layers_from_its_side(depth, side, layers):
    assert list(settings(depth=depth, side=side).deep_layers(6)) == layers


def test_more_depth_than_the_lm_has_layers_is_refused():
    with pytest.raises(ConfigError, match=r"^depth: expected at most the LM's 6 layers, got 7$"):
        settings(depth=7).deep_layers(6)
