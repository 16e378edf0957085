"""What `schedule.pruner` may say."""

import pytest

from sp_search.errors import ConfigError
from sp_search.search.base.choices import Choice
from sp_search.search.base.pruners import read_pruner

SIZES = dict(budget=1600, grace=100, reduction_factor=4)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("asha", Choice("asha", {"brackets": 1})),
        ({"name": "asha", "brackets": 2}, Choice("asha", {"brackets": 2})),
        ("none", Choice("none", {})),
        ("median", Choice("median", {"min_samples_required": 3})),
    ],
)
def test_a_name_or_a_mapping_is_a_pruner_with_its_defaults(value, wanted):
    assert read_pruner(value, **SIZES) == wanted


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("ash", "schedule.pruner: expected asha, hyperband, median, none, or a mapping with such a name, got 'ash'"),
        ({"brackets": 2}, "schedule.pruner: expected asha, hyperband, median, none, or .*, got none"),
        ({"name": "none", "brackets": 2}, "schedule.pruner.brackets: expected no settings with none, got brackets"),
        ({"name": "asha", "brackets": 0}, "schedule.pruner.brackets: expected a whole number from 1 on, got 0"),
        (
            "hyperband",
            "schedule.pruner.brackets: expected at most 2, the rungs from grace 100 to the budget of 1,600, got 3",
        ),
    ],
)
def test_anything_else_is_refused(value, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        read_pruner(value, **SIZES)
