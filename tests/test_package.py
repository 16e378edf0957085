"""The package as a Python programmer meets it: what it costs to import, and what it offers."""

import inspect
import json
import subprocess
import sys
from importlib import import_module

import pytest

import sp_search

TIMED = """
import json, sys, time
began = time.perf_counter()
import sp_search
print(json.dumps([time.perf_counter() - began, [*sys.modules]]))
"""


def test_the_import_takes_50_ms_at_most_and_imports_nothing_heavy():
    tries = [
        json.loads(subprocess.run([sys.executable, "-c", TIMED], capture_output=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(seconds for seconds, _ in tries) < 0.05
    heavy = {"torch", "ray", "numpy", "pandas", "optuna", "mlflow", "hydra", "omegaconf", "fairseq", "scipy"}
    assert heavy & set(tries[0][1]) == set()


def test_every_public_name_is_there_and_documented():
    assert set(sp_search.__all__) <= set(dir(sp_search))
    for name in set(sp_search.__all__) - {"search"}:
        assert getattr(sp_search, name).__doc__


def test_search_is_a_verb_and_a_package_whichever_is_met_first():
    verb = import_module("sp_search.cli.verbs.search").search
    room = import_module("sp_search.search.base.space")
    assert callable(sp_search.search)
    assert inspect.signature(sp_search.search) == inspect.signature(verb)
    assert sp_search.search.base.space is room
    code = "import sp_search.search.base.protocol, sp_search; print(callable(sp_search.search))"
    for order in (code, "import sp_search; print(callable(sp_search.search))"):
        assert subprocess.run([sys.executable, "-c", order], capture_output=True, check=True).stdout == b"True\n"


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(AttributeError, match=r"^module 'sp_search' has no attribute 'lod'; it has .*load, "):
        sp_search.lod  # noqa: B018
