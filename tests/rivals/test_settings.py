import pytest

from sp_search.errors import ConfigError
from sp_search.rivals.settings import RivalSettings, is_rival

PARAMS = {
    "ngram": {"method": "ngram", "ngrams": 2, "sublinear_tf": True, "min_df": 2, "C": 3.0},
    "retrieval": {"method": "retrieval", "ngrams": 1, "sublinear_tf": False, "min_df": 1},
}


@pytest.mark.parametrize("params", PARAMS.values(), ids=PARAMS)
def test_settings_from_parameters_give_the_parameters_again(params):
    assert RivalSettings.from_params(params).params() == params


@pytest.mark.parametrize(
    ("method", "changes", "fault"),
    [
        ("ngram", {"ngrams": 0}, "ngrams: expected 1 to 5, got 0"),
        ("ngram", {"min_df": 0}, "min_df: expected 1 or more, got 0"),
        ("ngram", {"C": 0.0}, "C: expected above 0, got 0.0"),
        ("ngram", {"sublinear_tf": 1}, "sublinear_tf: expected true or false, got 1"),
        ("ngram", {"lr": 0.1}, "lr: expected one of ['C', 'method', 'min_df', 'ngrams', 'sublinear_tf']"),
        ("retrieval", {"C": 1.0}, "C: expected one of ['method', 'min_df', 'ngrams', 'sublinear_tf']"),
        ("retrieval", {"method": "prompt"}, "method: expected ngram or retrieval, got 'prompt'"),
    ],
)
def test_a_parameter_that_a_rival_has_not_or_can_not_have_is_refused(method, changes, fault):
    with pytest.raises(ConfigError) as error:
        RivalSettings.from_params({**PARAMS[method], **changes})
    assert str(error.value) == f"trial parameters: {fault}"


def test_a_missing_parameter_is_named():
    with pytest.raises(ConfigError, match=r"^trial parameters: min_df: expected a value, got none$"):
        RivalSettings.from_params({name: value for name, value in PARAMS["ngram"].items() if name != "min_df"})


def test_rivals_are_told_from_what_needs_an_lm():
    assert [is_rival({"method": method}) for method in ("ngram", "retrieval", "prompt")] == [True, True, False]
    assert not is_rival({"lr": 0.1})
