"""What each node of a joined cluster is like: its program, its limits, its clock, and whether it sees `runs`.

Ray is imported where it is used: `sp-search doctor` also runs where it is missing.
"""

from __future__ import annotations

import platform
import resource
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from sp_search.host import memory, processor
from sp_search.search.cluster.nodes import LOOK_S, Node, look_at, word_in


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """What a process finds of its machine."""

    host: str
    python: str
    packages: Mapping[str, str]  # version by name; "" where it is not installed
    processor: str
    memory: int  # bytes that a process may have
    open_files: int  # most of a process, as a worker has it
    folder_fault: str  # what is wrong with `runs` there; "" = nothing
    ahead_s: float  # of this machine's clock; 0 for the process that asks
    doubt_s: float  # the most by which that may be wrong


def own_checkup(packages: Sequence[str], folder_fault: str = "") -> Checkup:
    """That of this process."""
    return Checkup(
        host=socket.gethostname(),
        python=platform.python_version(),
        packages={name: _version(name) for name in packages},
        processor=processor(),
        memory=memory(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        folder_fault=folder_fault,
        ahead_s=0.0,
        doubt_s=0.0,
    )


def checkups(there: Sequence[Node], folder: Path, packages: Sequence[str]) -> dict[Node, Checkup | str]:
    """That of each node, or why it gave none.

    Args:
        there: the nodes.
        folder: that each of them should see and may write to.
        packages: whose versions are asked for.
    """
    import ray
    from ray.exceptions import RayError

    with word_in(folder) as (left, word):
        actors = {node: _on(node) for node in there}
        asked = {actor.look.remote(left, word, packages): node for node, actor in actors.items()}
        done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_S)
        found: dict[Node, Checkup | str] = dict.fromkeys(there, f"no answer within {LOOK_S:.0f} s")
        for ref in done:
            try:
                found[asked[ref]] = _with_clock(ray.get(ref), actors[asked[ref]])
            except RayError as error:
                found[asked[ref]] = str(error).strip().rpartition("\n")[2]
    for actor in actors.values():
        ray.kill(actor)
    return found


class _Looker:
    """Looks around on its node."""

    def look(self, left: Path, word: str, packages: Sequence[str]) -> Checkup:
        return own_checkup(packages, look_at(left, word))

    def now(self) -> float:
        return time.time()


def _on(node: Node) -> Any:
    """Who looks around there."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    place = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
    return ray.remote(num_cpus=0, max_restarts=0)(_Looker).options(scheduling_strategy=place).remote()


def _with_clock(found: Checkup, actor: Any) -> Checkup:
    """With how far its clock is ahead: what it says, beside the middle of the time that the question took."""
    import ray

    asked_at = time.time()
    said = ray.get(actor.now.remote(), timeout=LOOK_S)
    took = time.time() - asked_at
    return replace(found, ahead_s=said - asked_at - took / 2, doubt_s=took / 2)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
