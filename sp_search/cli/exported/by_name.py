"""What Python code names with a word or a path: an LM, a corpus, the cache; as the command line takes them."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from sp_search.cli.exported.prompts import demo_quantizer
from sp_search.errors import ConfigError
from sp_search.files.paths import default_cache, is_there, user_path
from sp_search.lm.zoo import is_known
from sp_search.units.quantizer import Quantizer


def cache_folder(given: str | os.PathLike[str] | None) -> Path:
    """Where downloads and imported LMs are kept: `config.yaml` has the same default for the command line."""
    return user_path(os.fspath(given) if given is not None else default_cache(), "cache").absolute()


def lm_choice(given: str | os.PathLike[str], why: str = "") -> tuple[str, Path | None]:
    """The name of an LM and its path; None for one that is known by its name.

    Args:
        given: a known name, or a path.
        why: this LM is needed, for the message.

    Raises:
        ConfigError: it is neither.
    """
    text = os.fspath(given)
    if is_known(text):
        return text, None
    path = user_path(text, "lm").absolute()
    if not is_there(path):
        because = f" ({why}: name its folder with lm=)" if why else ""
        raise ConfigError(
            f"lm: expected demo, a published LM as gslm_hubert100, or the path of a checkpoint or its folder, got "
            f"{text!r}{because}"
        )
    whole = path.resolve()
    return (whole if whole.is_dir() else whole.parent).name, path


def corpus_choice(given: str | os.PathLike[str]) -> tuple[str, Path, Quantizer | None]:
    """The name of a corpus, its folder, and the quantizer of the one that is built in.

    Raises:
        ConfigError: it is neither demo nor a folder.
    """
    text = os.fspath(given)
    if text == "demo":
        return text, demo_data(), demo_quantizer()
    path = user_path(text, "data").absolute()
    if not is_there(path):
        raise ConfigError(f"data: expected demo or a folder with train, valid and test, got {text!r}")
    return path.resolve().name, path, None


def demo_data() -> Path:
    """The folder of the built-in corpus."""
    return Path(str(files("sp_search") / "demo" / "assets" / "data"))
