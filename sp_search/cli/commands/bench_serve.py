"""Measure a running `sp-search serve`: one client, then many at the same time; prints a JSON line for each.

A request is an utterance of the corpus's test split. `statuses` counts the answers by their status: 200 is an answer,
429 one that was refused because the queue was full. Start the server in another terminal.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import cycle, islice

from sp_search.bench.speed.serving import measured_load, server_address
from sp_search.cli.wiring.factories import data_path
from sp_search.config import Settings, below_one, refuse
from sp_search.units.manifest import UtteranceReader, split_file

READS = ("data", "cache")
EXAMPLE = "sp-search bench serve data=units/my clients=32 requests=1000"


@dataclass(frozen=True, kw_only=True)
class BenchServeSettings(Settings):
    """The server, and how much is sent to it."""

    url: str = "http://127.0.0.1:8300"  # of the server
    clients: int = 32  # that send at the same time
    requests: int = 1000  # of all clients together

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse(below_one(self, "clients", "requests"))
        server_address(self.url)


def run(config: BenchServeSettings) -> int:
    """Print the lines; 1 if a request of the single client got no answer, or one of the many no answer and no 429."""
    path = split_file(data_path(config), "test")
    utterances = [" ".join(units) for units in UtteranceReader(path, lambda _: True)]
    bodies = [json.dumps({"units": units}).encode() for units in islice(cycle(utterances), config.requests)]
    well = True
    for clients in dict.fromkeys((1, config.clients)):
        load = measured_load(config.url, bodies, clients)
        well &= load.statuses.keys() <= ({"200"} if clients == 1 else {"200", "429"})
        print(json.dumps({"data": config.data.name, "requests": len(bodies), **asdict(load)}), flush=True)
    return int(not well)
