"""Delete a study: its folder, and its runs, logged model and registered versions in MLflow; all of it or nothing.

It prints what there is, and deletes it only with yes=true. Where a store does not answer, nothing is deleted;
tracking.enabled=false leaves MLflow alone. A study that is being searched is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from sp_search.cli.settings.reads import OF_MLFLOW, OF_NAME
from sp_search.config import Settings
from sp_search.errors import ConfigError
from sp_search.search.study.study import delete_study
from sp_search.tracking.api.forget import forget, remains_of
from sp_search.tracking.base.uri import default_uri

READS = (*OF_NAME, *OF_MLFLOW, "tracking.enabled", "cluster.storage")
EXAMPLE = "sp-search forget study=first yes=true"


@dataclass(frozen=True, kw_only=True)
class ForgetSettings(Settings):
    """Whether it is meant."""

    yes: bool = False  # delete; false = only say what would be deleted


def run(config: ForgetSettings) -> int:
    """Print what there is of the study, and delete it."""
    uri = (config.tracking.uri or default_uri(config.runs)) if config.tracking.enabled else None
    remains = remains_of(config.runs, config.study, uri)
    print("\n".join(remains.lines), flush=True)
    if not config.yes:
        raise ConfigError("yes: expected true to delete all of this, got false; nothing was deleted")
    if config.cluster.storage is None:
        forget(remains)
    else:
        forget(remains, partial(delete_study, config.study, config.cluster.storage))
    print(f"study {config.study} is forgotten")
    return 0
