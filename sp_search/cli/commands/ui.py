"""Show all trials in MLflow's UI, the best first; by default only this machine can reach it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sp_search.cli.settings.reads import OF_MLFLOW
from sp_search.config import Settings
from sp_search.errors import ConfigError
from sp_search.tasks.registry import get_task
from sp_search.tracking.api.ui import ui_command
from sp_search.tracking.base.uri import default_uri

READS = (*OF_MLFLOW, "tracking.experiment", "task")  # the task says by which metric trials are sorted
EXAMPLE = "sp-search ui port=5001"


@dataclass(frozen=True, kw_only=True)
class UiSettings(Settings):
    """Where the UI listens."""

    host: str = "127.0.0.1"  # 127.0.0.1 = only this machine can reach it
    port: int = 5000  # TCP

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.port < 65536:
            raise ConfigError(f"port: expected 1 to 65535, got {self.port}")


def run(config: UiSettings) -> int:
    """Print the address of the UI, and become its process."""
    command = ui_command(
        config.tracking.uri or default_uri(config.runs),
        config.host,
        config.port,
        experiment=config.tracking.experiment,
        metric=f"valid_{get_task(config.task.name).decides}",
    )
    print(command.message, flush=True)
    if command.argv:
        os.execve(command.argv[0], command.argv, {**os.environ, **command.env})
    return 0
