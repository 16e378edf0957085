from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from sp_search.cli.settings.from_dict import did_you_mean, fill, leaves
from sp_search.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inner:
    steps: int
    rate: float

    def __post_init__(self) -> None:
        faults = [f"{name}: expected above 0" for name in ("steps", "rate") if getattr(self, name) <= 0]
        if faults:
            raise ConfigError("; ".join(faults))


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner
    mode: Literal["slow", "fast"]
    name: str
    on: bool
    folder: Path | None
    free: dict[str, Any]
    extra: int = 7


GOOD = {"inner": {"steps": 3, "rate": 1}, "mode": "fast", "name": "a", "on": True, "folder": None, "free": {"x": [1]}}


def test_values_become_a_record_with_sections_defaults_and_numbers_in_their_type():
    record = fill(Outer, GOOD)
    assert record == Outer(
        inner=Inner(steps=3, rate=1.0), mode="fast", name="a", on=True, folder=None, free={"x": [1]}, extra=7
    )
    assert type(record.inner.rate) is float


def test_a_relative_path_is_seen_from_the_current_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert fill(Outer, GOOD | {"folder": "../b"}).folder == tmp_path.parent / "b"


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fill(Outer, GOOD | {"folder": "~/b"}).folder == tmp_path / "b"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"name": 7}, "name: expected text, got 7"),
        ({"name": None}, "name: expected text, got null"),
        ({"on": 1}, "on: expected true or false, got 1"),
        ({"extra": True}, "extra: expected a whole number, got true"),
        ({"extra": 2.0}, "extra: expected a whole number, got 2.0"),
        ({"mode": "fats"}, "mode: expected slow or fast, got 'fats'"),
        ({"folder": ""}, "folder: expected a path or null, got ''"),
        ({"free": 3}, "free: expected a mapping, got 3"),
        ({"inner": 3}, "inner: expected a section with steps, rate, got 3"),
        ({"inner": {"steps": 3}}, "inner.rate: expected a value, got none; say inner.rate=..."),
        ({"inner": {"steps": 3, "rate": 0.5, "step": 4}}, "inner.step: no such setting; did you mean inner.steps?"),
    ],
)
def test_a_fault_names_its_key_and_what_was_expected(change, fault):
    with pytest.raises(ConfigError) as raised:
        fill(Outer, GOOD | change)
    assert str(raised.value) == fault


def test_all_faults_are_told_at_once_those_of_a_section_with_its_name():
    with pytest.raises(ConfigError) as raised:
        fill(Outer, GOOD | {"inner": {"steps": 0, "rate": -1.0}, "mode": "x", "other": 1})
    assert str(raised.value).split("; ") == [
        "other: no such setting",
        "inner.steps: expected above 0",
        "inner.rate: expected above 0",
        "mode: expected slow or fast, got 'x'",
    ]


def test_leaves_are_the_dotted_settings_without_their_sections():
    assert list(leaves(Outer)) == ["inner.steps", "inner.rate", "mode", "name", "on", "folder", "free", "extra"]


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("inner.step", "; did you mean inner.steps?"),
        ("STEPS", "; did you mean inner.steps?"),
        ("stpes", "; did you mean inner.steps?"),
        ("qqqq", ""),
    ],
)
def test_a_mistyped_name_finds_its_neighbour_also_without_its_section(word, nearest):
    assert did_you_mean(word, leaves(Outer)) == nearest
