"""Composes the files in `search_spaces/` and the words of a command into one settings record, with Hydra."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.version import VersionBase
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from sp_search.cli.settings.from_dict import fill
from sp_search.cli.settings.overrides import GIVEN, sort_overrides
from sp_search.cli.settings.yaml_file import one_line
from sp_search.config import Settings
from sp_search.errors import ConfigError
from sp_search.files.by_content import fetched, is_address
from sp_search.files.paths import user_path
from sp_search.message import say

S = TypeVar("S", bound=Settings)
HYDRA_NODES = ("hydra", "_dummy_empty_config_.yaml")


_COMPOSING = threading.Lock()
"""Hydra composes in a state of the process, so one thread at a time may."""


def load_settings(
    words: Sequence[str],
    schema: type[S],
    given: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    fetch: bool = True,
) -> S:
    """The settings of a command, as its record.

    Args:
        words: `key=value` as typed, `~space.PARAMETER` removes one; relative paths start at the current folder. An LM
            or a corpus on other storage (`files.by_content`) is fetched.
        schema: the command's record, `Settings` or one that extends it.
        given: a group's values that are at hand, as if they had been read from a file: {"space": {...}}.
        fetch: bring an LM and a corpus from other storage here; False leaves them, where only their names are read.

    Raises:
        ConfigError: a word, or a file that it names, is wrong.
        DownloadError: an LM or a corpus is not whole on its storage.
    """
    values = compose_values(words, schema, given)
    for group in ("lm", "data"):
        if fetch and is_address(address := values[group]["path"]):
            values[group]["path"] = str(fetched(address, user_path(values["cache"], "cache").absolute(), say))
    return fill(schema, values)


def compose_values(
    words: Sequence[str], schema: type, given: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """The values of YAML files and words, nested by section, before their types are checked.

    Raises:
        ConfigError: as `load_settings`.
    """
    OmegaConf.register_new_resolver("set_env", _set_env, replace=True)
    request = sort_overrides(words, schema)
    for group, values in (given or {}).items():
        request.given[group] = dict(values)
        request.hydra.insert(0, f"{group}={GIVEN}")  # words on single values come after it
    try:
        with (
            _COMPOSING,
            _own_hydra(),
            _own_store(request.given),
            initialize_config_module(version_base="1.3", config_module="search_spaces"),
        ):
            composed = compose("config", overrides=request.hydra)
        for key, text in request.texts.items():
            OmegaConf.update(composed, key, text, force_add=True)
        return cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True, throw_on_missing=True))
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}: expected a value, got ???; say {error.full_key}=...") from error
    except (HydraException, OmegaConfBaseException) as error:
        key, why = getattr(error, "full_key", None) or "settings", one_line(error).partition(" full_key: ")[0]
        raise ConfigError(f"{key}: expected values that can be put together, got: {why}") from error


def _set_env(name: str, default: str) -> str:
    """A variable of the environment, for the files in `search_spaces/`; an empty one counts as not set."""
    return os.environ.get(name) or default


@contextmanager
def _own_hydra() -> Iterator[None]:
    """Hydra's state as in a new process, for a caller may have initialised Hydra for a configuration of their own."""
    theirs, version = GlobalHydra.instance(), VersionBase.instance()
    hydra, base = theirs.hydra, version.version_base
    theirs.clear()
    try:
        yield
    finally:
        theirs.hydra, version.version_base = hydra, base
        GlobalHydra.set_instance(theirs)


@contextmanager
def _own_store(given: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Hydra's store with its own nodes and the given options only.

    Importing fairseq adds a schema named `config`, which Hydra would apply to our `config.yaml`.
    """
    store = ConfigStore.instance()
    before = store.repo
    store.repo = {name: node for name, node in before.items() if name in HYDRA_NODES}
    try:
        for group, node in given.items():
            store.store(group=group, name=GIVEN, node=node)
        yield
    finally:
        store.repo = before
