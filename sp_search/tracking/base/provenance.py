"""The origin of a result: the commit of this package, the versions of its libraries, the machine."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from sp_search.files.write import write_text

UNKNOWN = "unknown"
STATE_FILE = "git_state.json"
_GIT_TIMEOUT_S = 10.0
_DISTRIBUTIONS = {
    "torch": "torch",
    "ray": "ray",
    "optuna": "optuna",
    "mlflow": "mlflow",
    "fairseq": "ve-fairseq",
    "sp_search": "sp-search",
}


@dataclass(frozen=True)
class GitState:
    """The commit that the package's files belong to."""

    sha: str  # 40 hex digits, or "unknown"
    dirty: str  # "true": files differ from the commit, or are new; "false"; "unknown"


def git_state(file: Path = Path(__file__)) -> GitState:
    """The state of the repository that tracks a file; "unknown" without git or such a repository.

    A package installed into a `.venv` inside somebody's repository is not part of that repository. A copy of the
    package that was sent to another machine has the state of its origin in `STATE_FILE`.
    """
    folder = file.resolve().parent
    tracked = _git(folder, "ls-files", "--error-unmatch", file.name)
    sha = _git(folder, "rev-parse", "HEAD")
    changes = _git(folder, "--no-optional-locks", "status", "--porcelain")
    if tracked is None or sha is None or changes is None:
        return _state_of_origin()
    return GitState(sha, "true" if changes else "false")


def write_state(package: Path) -> None:
    """Write the state of this package into a copy of it."""
    write_text(package / STATE_FILE, json.dumps(asdict(git_state())))


def _state_of_origin() -> GitState:
    try:
        return GitState(**json.loads((Path(__file__).parents[2] / STATE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return GitState(UNKNOWN, UNKNOWN)


def versions() -> dict[str, str]:
    """The versions of Python and of the main libraries, by name. None of them is imported."""
    found = {"python": platform.python_version()}
    for name, distribution in _DISTRIBUTIONS.items():
        try:
            found[name] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            found[name] = UNKNOWN
    return found


def host() -> str:
    """The machine's name."""
    return socket.gethostname()


def _git(folder: Path, *arguments: str) -> str | None:
    """The output of git, or None if it fails.

    GIT_DIR is removed, because a git hook sets it to its own repository.
    """
    command = ["git", "-C", str(folder), *arguments]
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=True, env=env)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
