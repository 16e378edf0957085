"""What a job takes to a cluster: this package, the files that its settings name, and its command line."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Sequence
from importlib import metadata
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import quote, unquote

import yaml  # type: ignore[import-untyped]

from sp_search.cli.settings.overrides import HOLDS, full_key, name_of, options
from sp_search.cli.settings.yaml_file import read_yaml
from sp_search.errors import ConfigError, DataError
from sp_search.files.by_content import content_of, is_address, put
from sp_search.files.paths import reason, user_path
from sp_search.files.write import write_text
from sp_search.lm.zoo import files_of as lm_files
from sp_search.tracking.base.provenance import write_state
from sp_search.tracking.base.uri import holds_password, redact
from sp_search.units.manifest import files_of as corpus_files

PACKAGES = ("sp_search", "search_spaces")
MAY_BE_FILE = ("space", "schedule")
"""Groups whose option may be a YAML file of this machine."""
PLACED = ("lm", "lm.path", "data", "data.path")
"""Settings that may name a path of this machine; the job has its address."""
SHIPPED = "shipped"
"""The option that such a file becomes in the package's copy."""
BEHIND_PACKAGES = "cd / && exec python -P"
"""A Python that finds no sp_search before the one that goes along. Ray's workers look first into the folder where the
search was started, and that would be the one where Ray was."""
ON_DISK = "file://"

Tell = Callable[[str], None]


def check_words(words: Sequence[str]) -> None:
    """Whether a job's command line can be made of these words.

    Raises:
        ConfigError: `runs` is no folder of the cluster's, or a word holds a password.
    """
    if not (runs := _last(words, "runs")).startswith("/"):
        raise ConfigError(
            f"runs: expected a folder that every node of the cluster sees, as runs=/shared/runs, got "
            f"{runs or 'none'}; a job's own folder is deleted with it"
        )
    for word in words:
        if holds_password(word):
            raise ConfigError(
                f"{redact(word)}: expected no password, for all who see the cluster's jobs would see it; leave it "
                f"out, and set PGPASSWORD or MLFLOW_TRACKING_PASSWORD where the head's Ray is started"
            )


def shipped(folder: Path) -> list[Path]:
    """Copy this package into a folder, with its version and the state of its repository; what goes to the nodes."""
    for name in PACKAGES:
        with as_file(files(name)) as source:
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    write_state(folder / PACKAGES[0])
    about = metadata.metadata("sp-search")
    write_text(
        folder / f"sp_search-{about['Version']}.dist-info" / "METADATA",
        f"Metadata-Version: 2.1\nName: sp-search\nVersion: {about['Version']}\n",
    )
    return sorted(folder.iterdir())


def command_line(words: Sequence[str], left_out: Sequence[str], storage: str, folder: Path, tell: Tell) -> str:
    """The command line of the search on the cluster. LM, corpus and files that it names go along.

    Args:
        words: as typed, each key once.
        left_out: keys that the search does not know or read.
        storage: URL or path of the folder where LM and corpus are put.
        folder: of the package's copy. YAML files that the words name become options there.
        tell: takes a line on what is sent.

    Raises:
        UserError: a file can't be read, or the storage not be written.
    """
    kept = []
    for word in words:
        key, equals, value = word.partition("=")
        if full_key(key) in left_out:
            continue
        if key in MAY_BE_FILE and value not in options(key):
            write_text(
                folder / "search_spaces" / key / f"{SHIPPED}.yaml",
                yaml.safe_dump(read_yaml(user_path(value, key), HOLDS[key]), sort_keys=False),
            )
            value = SHIPPED
        elif key in PLACED and is_path(key, value):
            value = _address(key, user_path(value, key), storage, tell)
        kept.append(f"{key}{equals}{value}")
    return f"{BEHIND_PACKAGES} {shlex.join(['-m', 'sp_search.cli', 'search', *kept])}"


def is_path(key: str, value: str) -> bool:
    """Whether the value of a setting that names an LM or a corpus is a path of this machine."""
    group = key.partition(".")[0]
    is_option = key == group and (value in options(group) or value.startswith("random:"))
    return not is_option and value != "null" and not is_address(value)


def _address(key: str, path: Path, storage: str, tell: Tell) -> str:
    """What stands for an LM or a corpus of this machine on the cluster."""
    url = storage if is_address(storage) else ON_DISK + quote(str(user_path(storage, "storage").absolute()))
    try:
        files = lm_files(path) if key.startswith("lm") else corpus_files(path)
        content = content_of(name_of(path), files)
    except OSError as error:
        raise DataError(f"{path}: expected files that can be read, got {reason(error)}") from error
    address = put(content, url, tell)
    return address if is_address(storage) else unquote(address.removeprefix(ON_DISK))


def _last(words: Sequence[str], key: str) -> str:
    """The value of the last word with this key, or ""."""
    return next((word.partition("=")[2] for word in reversed(words) if word.partition("=")[0] == key), "")
