import pytest

from sp_search.errors import ConfigError
from tests.pretrain.counting import recipe


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"layers": 0, "updates": -1}, "layers: expected 1 or more, got 0; updates: expected 1 or more, got -1"),
        ({"dropout": 1.0}, "dropout: expected 0 or more and below 1, got 1.0"),
        ({"lr": 0.0}, "lr: expected above 0, got 0.0"),
        ({"lr": float("nan")}, "lr: expected above 0, got nan"),
        (
            {"embed_dim": 18, "attention_heads": 4},
            "embed_dim: expected an even multiple of 4 attention_heads, got 18",
        ),
        ({"embed_dim": 9, "attention_heads": 3}, "embed_dim: expected an even multiple of 3 attention_heads, got 9"),
        ({"embed_dim": 2}, "embed_dim: expected 4 or more, got 2"),
        ({"pass_tokens": 63}, "pass_tokens: expected max_positions of 64 or more, got 63"),
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
        ({"seed": 2**32}, "seed: expected up to 4294967295, got 4294967296"),
        ({"attention_heads": 0}, "attention_heads: expected 1 or more, got 0"),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(changes, fault):
    with pytest.raises(ConfigError) as raised:
        recipe(**changes)
    assert str(raised.value) == fault


@pytest.mark.parametrize(("devices", "passes"), [(1, 16), (8, 2), (16, 1), (64, 1)])
def test_an_update_has_as_many_units_on_any_number_of_devices(devices, passes):
    assert recipe(batch_tokens=131_072, pass_tokens=8192).passes(devices) == passes
