"""The search space: what is drawn, and every fault of a file named at once."""

import pytest

from sp_search.errors import ConfigError
from sp_search.prompts.limits import Limits
from sp_search.search.base.space import read_params, read_space

LIMITS = {
    "length": Limits(int),
    "lr": Limits(float),
    "kind": Limits(str),
    "seed": Limits(int),
    "dropout": Limits(float, low=0, high=1, below_high=True),
    "scored": Limits(bool),
    "side": Limits(str, ("top", "bottom")),
}
RAW = {
    "length": {"int": [1, "layers/2"]},
    "lr": {"float": [1e-4, 1], "log": True},
    "kind": {"choice": ["random", "linear"]},
    "seed": {"int": [0, 9], "when": {"kind": ["random"]}},
    "dropout": 0,
}


class Table:
    """Answers each suggestion from a table, and keeps what it was asked."""

    def __init__(self, **values):
        self.values = values
        self.asked = {}

    def suggest_int(self, name, low, high, *, log):
        self.asked[name] = (low, high, log)
        return self.values[name]

    def suggest_float(self, name, low, high, *, log):
        self.asked[name] = (low, high, log)
        return self.values[name]

    def suggest_categorical(self, name, choices):
        self.asked[name] = choices
        return self.values[name]


def test_each_parameter_is_drawn_from_its_own_range():
    table = Table(length=2, lr=0.5, kind="random", seed=3)
    params = read_space(RAW, LIMITS, layers=12).suggest(table)
    assert params == {"length": 2, "lr": 0.5, "kind": "random", "seed": 3, "dropout": 0.0}
    assert table.asked == {
        "length": (1, 6, False), "lr": (1e-4, 1.0, True), "kind": ["random", "linear"], "seed": (0, 9, False),
    }  # fmt: skip


def test_a_parameter_is_left_out_where_its_condition_does_not_hold():
    table = Table(length=2, lr=0.5, kind="linear")
    assert "seed" not in read_space(RAW, LIMITS, layers=12).suggest(table)


def test_a_condition_on_a_parameter_that_was_left_out_does_not_hold():
    raw = RAW | {"scored": {"choice": [True, False], "when": {"seed": 3}}}
    table = Table(length=2, lr=0.5, kind="linear")
    assert "scored" not in read_space(raw, LIMITS, layers=12).suggest(table)


def test_searched_parameters_are_those_that_were_drawn():
    space = read_space(RAW, LIMITS, layers=4)
    params = {"length": 2, "lr": 0.5, "kind": "linear", "dropout": 0.0}
    assert space.searched(params) == {"length": 2, "lr": 0.5, "kind": "linear"}


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        ({"lenght": 1}, "lenght: expected one of dropout, kind, length, lr, scored, seed, side"),
        ({"length": {"int": [9, 2]}}, "length: expected low at most high, got low 9 and high 2"),
        ({"length": {"int": [1]}}, r"length: expected \[low, high\], got \[1\]"),
        ({"length": {"float": [1.0, 2.0]}}, "length: expected a range of int, got one of float"),
        ({"length": {"int": [1.5, 2]}}, "length: expected a whole number, got 1.5"),
        ({"length": {"int": [1, 2], "step": 2}}, "length: expected one of int, float, choice or value"),
        ({"length": {"int": [1, 2], "choice": [1]}}, "got int, choice"),
        ({"lr": {"float": [0.0, 1.0], "log": True}}, "lr: expected a low above 0 on a log scale, got 0.0"),
        ({"lr": {"float": [0.1, 1.0], "log": "yes"}}, "lr: log: expected true or false, got 'yes'"),
        ({"kind": {"choice": []}}, r"kind: expected a list of choices, got \[\]"),
        ({"kind": {"choice": ["a", 1]}}, "kind: expected a word, got 1"),
        ({"dropout": 7}, "dropout: expected 0 or more and below 1, got 7"),
        ({"dropout": {"float": [0.0, 1.0]}}, "dropout: expected 0 or more and below 1, got 1.0"),
        ({"lr": float("nan")}, "lr: expected a number, got nan"),
        ({"lr": {"float": [0.1, float("inf")]}}, "lr: expected a number, got inf"),
        ({"side": "foo"}, "side: expected top or bottom, got 'foo'"),
        ({"side": {"choice": ["top", "left"]}}, "side: expected top or bottom, got 'left'"),
        ({"length": "layers/0"}, "length: expected layers, or layers/2 and the like, got layers/0"),
        ({"side": "top", "seed": {"int": [0, 1], "when": {"side": ["top", "lineer"]}}},
         "seed: when: side: expected top or bottom, got 'lineer'"),
        ({"dropout": 0.5, "seed": {"int": [0, 1], "when": {"dropout": 9}}}, "seed: when: dropout: expected 0 or"),
        ({"kind": "a", "seed": {"int": [0, 1], "when": {"kind": []}}}, "expected at least one value, got none"),
        ({"kind": True}, "kind: expected a word, got true"),
        ({"scored": 1}, "scored: expected true or false, got 1"),
        ({"seed": {"int": [0, 1], "when": {"kind": "random"}}}, "expected a parameter above this one, got kind"),
        ({"seed": {"int": [0, 1], "when": "kind"}}, "seed: when: expected parameter: value or list of values"),
        ({}, "expected at least one parameter, got none"),
    ],
)  # fmt: skip
def test_a_bad_key_is_named_with_what_was_expected(raw, fault):
    with pytest.raises(ConfigError, match=fault):
        read_space(raw, LIMITS, layers=4)


def test_all_bad_keys_of_a_space_are_named_in_one_error():
    raw = {"length": {"int": [9, 2]}, "kind": 5, "lr": 0.1, "speed": 1}
    with pytest.raises(ConfigError, match=r"space: 3 bad keys: length: .*; kind: .*; speed: .*"):
        read_space(raw, LIMITS, layers=4)


def test_a_condition_on_a_bad_key_is_no_fault_of_its_own():
    raw = {"kind": 5, "seed": {"int": [0, 9], "when": {"kind": "random"}}}
    with pytest.raises(ConfigError, match=r"^space: 1 bad key: kind: expected a word, got 5$"):
        read_space(raw, LIMITS, layers=4)


def test_a_space_without_ranges_is_one_trial():
    raw = {"kind": "linear", "seed": {"int": [0, 9], "when": {"kind": "random"}}, "length": "layers", "lr": 1}
    assert read_space(raw, LIMITS, layers=4).only_trial() == {"kind": "linear", "length": 4, "lr": 1.0}


def test_a_space_with_ranges_is_not_one_trial():
    with pytest.raises(ConfigError, match=r"got a range for length, lr, kind; .* with space\.length=VALUE$"):
        read_space(RAW, LIMITS, layers=4).only_trial()


def test_a_first_trial_may_name_the_lm_s_layers():
    assert read_params({"length": "layers", "lr": 1, "kind": "linear"}, LIMITS, layers=6) == {
        "length": 6, "lr": 1.0, "kind": "linear"
    }  # fmt: skip


def test_every_bad_key_of_a_first_trial_is_named_at_once():
    with pytest.raises(
        ConfigError, match=r"^first_trials: 2 bad keys: size: expected one of .*; lr: expected a number, got 'x'$"
    ):
        read_params({"size": 1, "lr": "x", "length": 2}, LIMITS, layers=6)
