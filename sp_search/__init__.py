"""Prompt search over a frozen generative spoken language model (SpeechPrompt, arXiv 2203.16773).

    import sp_search

    study = sp_search.search(task="intent", trials=8)          # search the built-in demo, minutes on two cores
    prompt = sp_search.load(study.best)
    prompt.predict("clip.wav")                                 # Prediction(id='clip.wav', labels=('on', ...), ...)
    sp_search.load_study("intent-demo-demo").trials            # a pandas table with a row for each trial

Nothing heavy is imported before the first of these is used.
"""

from __future__ import annotations

import inspect
import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sp_search.errors import UserError

if TYPE_CHECKING:
    from sp_search.cli.verbs.prompt import Prompt as Prompt
    from sp_search.cli.verbs.prompt import load as load
    from sp_search.cli.verbs.search import search as search
    from sp_search.cli.verbs.search_progress import SearchProgress as SearchProgress
    from sp_search.cli.verbs.study import Study as Study
    from sp_search.cli.verbs.study import load_study as load_study
    from sp_search.export.predictor import Prediction as Prediction

__all__ = ["Prediction", "Prompt", "SearchProgress", "Study", "UserError", "load", "load_study", "search"]

_PLACES = {
    "Prediction": "export.predictor",
    "Prompt": "cli.verbs.prompt",
    "SearchProgress": "cli.verbs.search_progress",
    "Study": "cli.verbs.study",
    "load": "cli.verbs.prompt",
    "load_study": "cli.verbs.study",
}
"""Where the public names are, below this package."""


def __getattr__(name: str) -> Any:
    if name == "search":
        return import_module("sp_search.search")
    if name not in _PLACES:
        raise AttributeError(f"module 'sp_search' has no attribute {name!r}; it has {', '.join(__all__)}")
    found = getattr(_module(_PLACES[name]), name)
    globals()[name] = found
    return found


def _module(place: str) -> ModuleType:
    # As in `sp_search.cli.main`: torch reads it when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return import_module(f"sp_search.{place}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _SearchRoom(ModuleType):
    """The package `sp_search.search`, whose name is that of a verb: a call of it searches."""

    def __call__(self, **settings: Any) -> Study:
        """See `sp_search.cli.verbs.search.search`."""
        study: Study = _module("cli.verbs.search").search(**settings)
        return study

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(_module("cli.verbs.search").search)


class _Package(ModuleType):
    """This package. Python sets a subpackage as an attribute when it is imported; `search` becomes callable then."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "search" and isinstance(value, ModuleType):
            value.__class__ = _SearchRoom
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
