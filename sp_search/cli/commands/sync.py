"""Send to MLflow the events that its server missed while it was away, and those of killed searches."""

from __future__ import annotations

from dataclasses import dataclass

from sp_search.cli.settings.reads import OF_MLFLOW
from sp_search.config import Settings
from sp_search.message import say
from sp_search.tracking.base.uri import default_uri, redact
from sp_search.tracking.upload.sync import sync

READS = OF_MLFLOW
EXAMPLE = "sp-search sync tracking.uri=http://127.0.0.1:5000"


@dataclass(frozen=True, kw_only=True)
class SyncSettings(Settings):
    """What to send."""

    again: bool = False  # everything of every study once more, for a store that was emptied


def run(config: SyncSettings) -> int:
    """Print how many events were sent and how many are left; 1 if some are left."""
    uri = config.tracking.uri or default_uri(config.runs)
    counts = sync(config.runs, uri, again=config.again, tell=say)
    print(
        f"{counts.studies} studies in {config.runs}: {counts.sent} events sent to {redact(uri)}, {counts.left} left, "
        f"{counts.rejected} refused, {counts.torn} cut off by a crash"
    )
    for study in counts.running:
        print(f"study {study} is being searched and sends its own")
    if counts.left:
        print("the store did not take everything; run sp-search sync again once it is back")
    return int(counts.left > 0)
