"""Show every trial in MLflow's UI, on this machine alone unless told otherwise."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sp_search.config import Settings
from sp_search.tracking.api.ui import ui_command
from sp_search.tracking.base.uri import default_uri


@dataclass(frozen=True, kw_only=True)
class UiSettings(Settings):
    """Where the UI listens."""

    host: str = "127.0.0.1"
    port: int = 5000


def run(config: UiSettings) -> int:
    """Say where the UI is, and become it."""
    command = ui_command(config.tracking.uri or default_uri(config.runs), config.host, config.port)
    print(command.message, flush=True)
    if command.argv:
        os.execve(command.argv[0], command.argv, {**os.environ, **command.env})
    return 0
