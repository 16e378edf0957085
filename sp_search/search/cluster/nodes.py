"""A joined cluster: how many workers fit on it, and whether all nodes can use the study's folder.

Ray is imported where it is used: `sp-search doctor` also runs where it is missing.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from sp_search.durations import spoken
from sp_search.errors import ConfigError
from sp_search.message import say

NODES_S = 600.0
"""How long to wait for nodes that have not joined yet."""

LOOK_S = 120.0
"""How long a node may take to answer: its first process takes seconds to start."""

KINDS = ("ray.io/node-group", "ray.io/accelerator-type")
"""Ray's labels of a node that name its kind; the first that is set does."""

_KINDS: dict[str, str] = {}
"""The kind of each node that was asked for, by Ray's id of it."""


@dataclass(frozen=True)
class Node:
    """A machine of a cluster, with the resources it gives to Ray."""

    node_id: str
    address: str
    cpus: float
    gpus: float
    kind: str = "cpu"  # its group, as KubeRay or the autoscaler names it, else its accelerator, as Ray names it

    def room(self, cpus: float, gpus: float) -> int:
        """How many workers with these CPUs and GPUs fit on this machine."""
        return int(min(self.cpus / cpus, self.gpus / gpus if gpus else math.inf))


@dataclass(frozen=True)
class Share:
    """The number of workers of a search, and the resources of each."""

    workers: int
    cpus: float
    gpus: float


def nodes(at_least: int | None) -> list[Node]:
    """The nodes of the cluster, once `at_least` of them have joined; None = one.

    Raises:
        ConfigError: there are fewer after ten minutes.
    """
    deadline, told = time.monotonic() + NODES_S, -1
    while True:
        found = living()
        if len(found) >= (at_least or 1):
            return found
        if len(found) != told:
            told = len(found)
            say(f"{told} of {at_least or 1} nodes have joined; waits {spoken(NODES_S)} at most for the others")
        if time.monotonic() > deadline:
            raise ConfigError(
                f"cluster.nodes: expected {at_least} nodes within {NODES_S:.0f} s, got {len(found)}; start the "
                f"others, or ask for fewer"
            )
        time.sleep(1)


def living() -> list[Node]:
    """The nodes of the cluster that live now."""
    import ray

    return [
        Node(
            n["NodeID"],
            n["NodeManagerAddress"],
            n["Resources"].get("CPU", 0.0),
            n["Resources"].get("GPU", 0.0),
            next((kind for label in KINDS if (kind := n["Labels"].get(label))), "cpu"),
        )
        for n in ray.nodes()
        if n["Alive"]
    ]


def kind_of(node_id: str) -> str:
    """The kind of a node, given Ray's id of it. Nodes keep theirs, so Ray is asked once for each."""
    if node_id not in _KINDS:
        _KINDS.update({node.node_id: node.kind for node in living()})
    return _KINDS.get(node_id, "cpu")  # one that has left before it was asked for


def share(there: Sequence[Node], workers: int | None, cpus: float | None, gpus: float) -> Share:
    """The workers of a search on a cluster: one per GPU, or two per node that share its cores.

    Args:
        there: its nodes.
        workers: their number; None decides by the GPUs or nodes.
        cpus: of each; None gives an even share of the smallest node that has room for one.
        gpus: of each; 0 for none.

    Raises:
        ConfigError: there is no room for them.
    """
    hosts = [node for node in there if node.room(cpus or 1.0, gpus)]
    if not cpus:
        most = math.ceil(workers / max(1, len(hosts))) if workers else 2
        cpus = min((_even(node, most, gpus) for node in hosts), default=1.0)
    room = sum(node.room(cpus, gpus) for node in there)
    if room < (workers or 1):
        has = ", ".join(f"{node.address} with {node.cpus:g} and {node.gpus:g}" for node in there)
        raise ConfigError(
            f"cluster: expected room for {workers or 1} workers of {cpus:g} CPUs and {gpus:g} GPUs each, got {has}; "
            f"ask for less with cluster.workers, cpus_per_worker or gpus_per_worker, or wait with cluster.nodes"
        )
    return Share(workers or room, cpus, gpus)


def room_now(cpus: float, gpus: float) -> tuple[int, frozenset[str]]:
    """How many workers of these CPUs and GPUs fit on the nodes that live now, and Ray's ids of these nodes."""
    there = living()
    return sum(node.room(cpus, gpus) for node in there), frozenset(node.node_id for node in there)


def check_folder(folder: Path) -> None:
    """Check on every node that it can use the study's folder, because trials move between nodes through it.

    Raises:
        ConfigError: a node doesn't see it, can't write to it, or can't run this program.
    """
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look = ray.remote(num_cpus=0, max_retries=0)(look_at)
    with word_in(folder) as (left, word):
        asked = {
            look.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False)).remote(
                left, word
            ): node
            for node in nodes(None)
        }
        done, late = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_S)
    faults = {asked[ref].address: f"no answer within {LOOK_S:.0f} s" for ref in late}
    for ref in done:
        try:
            fault = ray.get(ref)
        except RayError as error:
            fault = str(error).strip().rpartition("\n")[2]
        if fault:
            faults[asked[ref].address] = fault
    if faults:
        raise ConfigError(
            f"runs: expected a folder that every node sees as {folder.absolute()}, got "
            f"{'; '.join(f'from {address}: {fault}' for address, fault in faults.items())}; "
            f"set runs= to one on shared storage, see cluster/README.md"
        )


def _even(node: Node, most: int, gpus: float) -> float:
    """CPUs per worker if a node has one worker per GPU, or at most `most` workers."""
    return max(1.0, node.cpus // (node.room(1.0, gpus) if gpus else min(most, node.cpus)))


@contextmanager
def word_in(folder: Path) -> Iterator[tuple[Path, str]]:
    """A file that nodes are to find in a folder, and the word in it; gone when the block ends."""
    left, word = folder.absolute() / "seen-by-every-node", uuid4().hex
    left.write_text(word)
    try:
        yield left, word
    finally:
        left.unlink(missing_ok=True)


def look_at(left: Path, word: str) -> str:
    """What is wrong with the driver's test file in the folder, seen from this node; "" if nothing is."""
    try:
        found = left.read_text()
    except OSError as error:
        return str(error)
    if found != word:
        return "another folder of that name"
    return "" if os.access(left.parent, os.W_OK) else "no permission to write"
