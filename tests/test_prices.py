"""Prices of an hour of a worker: a number, or by the kind of its node."""

import pytest

from sp_search.errors import ConfigError
from sp_search.prices import Prices, read_prices

BY_KIND = {"A100": 4.0, "other": 0.5}


@pytest.mark.parametrize(
    ("rate", "device_s", "cost"),
    [
        (2.5, {"A100": 3600.0, "cpu": 7200.0}, 7.5),
        (BY_KIND, {"A100": 3600.0, "cpu": 7200.0, "L4": 3600.0}, 5.5),
        ({"A100": 4.0, "cpu": 1.0}, {"A100": 900.0, "cpu": 1800.0, "L4": 3600.0}, 5.5),
        (BY_KIND, {}, 0.0),
    ],
)
def test_each_kind_of_node_costs_its_price_and_one_without_a_price_that_of_others_or_the_highest(
    rate, device_s, cost
):
    assert read_prices(rate).cost(device_s) == pytest.approx(cost)


@pytest.mark.parametrize(
    ("rate", "shown", "highest"), [(2.5, "2.5", 2.5), (3, "3", 3.0), (BY_KIND, "A100 4, other 0.5", 4.0)]
)
def test_prices_are_shown_as_they_were_typed(rate, shown, highest):
    assert (str(read_prices(rate)), read_prices(rate).highest) == (shown, highest)


def test_no_rate_is_no_price():
    assert read_prices(None) is None
    assert read_prices({"A100": 1}) == Prices({"A100": 1.0})


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan"), True, "2", [], {}, {"A100": "dear"}, {"L4": 0}])
def test_what_is_no_price_is_refused(rate):
    with pytest.raises(ConfigError, match=r"^rate: expected a price above 0, or one for each kind of node, got "):
        read_prices(rate)
