"""What a job takes to a cluster: this package, the files that its settings name, and its command line."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Sequence
from importlib import metadata
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import quote, unquote

from sp_search.cli.settings.overrides import full_key, options
from sp_search.config import Settings
from sp_search.errors import ConfigError, DataError
from sp_search.files.by_content import content_of, is_address, put
from sp_search.files.paths import reason, user_path
from sp_search.files.write import write_text
from sp_search.lm.zoo import files_of
from sp_search.tracking.base.provenance import write_state
from sp_search.tracking.base.uri import holds_password, redact

PACKAGES = ("sp_search", "search_spaces")
MAY_BE_FILE = ("space", "schedule")
"""Groups whose option may be a YAML file of this machine."""
PLACED = ("lm", "lm.path", "lm.name", "data", "data.path", "data.name")
"""Settings in whose place the job has addresses."""
SHIPPED = "shipped"
"""The option that such a file becomes in the package's copy."""
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
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    write_state(folder / PACKAGES[0])
    about = metadata.metadata("sp-search")
    write_text(
        folder / f"sp_search-{about['Version']}.dist-info" / "METADATA",
        f"Metadata-Version: 2.1\nName: sp-search\nVersion: {about['Version']}\n",
    )
    return sorted(folder.iterdir())


def command_line(
    words: Sequence[str], config: Settings, own: Sequence[str], storage: str, folder: Path, tell: Tell
) -> str:
    """The command line of the search on the cluster. LM, corpus and files that it names go along.

    Args:
        words: as typed.
        config: the settings that they make.
        own: keys that the search does not know.
        storage: URL or path of the folder where LM and corpus are put.
        folder: of the package's copy. YAML files that the words name become options there.
        tell: takes a line on what is sent.

    Raises:
        UserError: a file can't be read, or the storage not be written.
    """
    kept = []
    for word in words:
        key, _, value = word.partition("=")
        if full_key(key) in (*own, *PLACED):
            continue
        if key in MAY_BE_FILE and value not in options(key):
            shutil.copyfile(user_path(value, key), folder / "search_spaces" / key / f"{SHIPPED}.yaml")
            word = f"{key}={SHIPPED}"
        kept.append(word)
    kept.append(f"lm={_placed(words, 'lm', config.lm.path, config.lm.name, storage, tell)}")
    kept.append(f"data={_placed(words, 'data', config.data.path, config.data.name, storage, tell)}")
    return shlex.join(["python", "-m", "sp_search.cli", "search", *kept])


def _placed(words: Sequence[str], group: str, path: Path | None, name: str, storage: str, tell: Tell) -> str:
    """What stands for an LM or a corpus on the cluster: its name where that says it all, else its address."""
    typed = _last(words, group) or _last(words, f"{group}.path")
    if path is None or is_address(typed):
        return name if path is None else typed
    url = storage if is_address(storage) else ON_DISK + quote(str(user_path(storage, "storage").absolute()))
    try:
        content = content_of(name, files_of(path) if group == "lm" else _all_files(path))
    except OSError as error:
        raise DataError(f"{path}: expected files that can be read, got {reason(error)}") from error
    address = put(content, url, tell)
    return address if is_address(storage) else unquote(address.removeprefix(ON_DISK))


def _all_files(folder: Path) -> dict[str, Path]:
    """The files of a corpus by their places in its folder, but for hidden ones."""
    found = {file.relative_to(folder): file for file in folder.rglob("*") if file.is_file()}
    return {
        str(place): file for place, file in found.items() if not any(part.startswith(".") for part in place.parts)
    }


def _last(words: Sequence[str], key: str) -> str:
    """The value of the last word with this key, or ""."""
    return next((word.partition("=")[2] for word in reversed(words) if word.partition("=")[0] == key), "")
