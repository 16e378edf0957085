"""What the other machines of a cluster do: cores, memory, GPUs and the rest, asked of an actor on each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sp_search.message import say
from sp_search.search.cluster.nodes import Node, living
from sp_search.tracking.api.system_metrics import MachineMetrics

WAIT_S = 1.0
"""How long machines may take to answer. The answer of one that is slower is taken next time."""


class NodeMetrics:
    """Asks the nodes that are there now; those that join are asked from then on."""

    def __init__(self) -> None:
        """Ask nobody yet."""
        self._actors: dict[Node, Any] = {}
        self._asked: dict[Node, Any] = {}
        self._silent: set[Node] = set()  # that can't be asked, which was said once

    def sample(self) -> Mapping[str, Mapping[str, float]]:
        """The metrics of each machine that answers, by its address and then by MLflow's names."""
        if not ray.is_initialized():  # the search has ended; a call would start another Ray
            return {}
        try:
            here = ray.get_runtime_context().get_node_id()
            others = [node for node in living() if node.node_id != here and node not in self._silent]
            self._ask(others)
            if others:
                ray.wait([*self._asked.values()], num_returns=len(others), timeout=WAIT_S)
            return {_name(node, others): found for node in others if (found := self._answer(node)) is not None}
        except Exception:  # Ray that ends meanwhile raises anything
            if ray.is_initialized():
                raise
            return {}

    def _ask(self, others: list[Node]) -> None:
        """Have a question open at each of these nodes, and at no other one."""
        for node in self._actors.keys() - {*others}:
            del self._actors[node]
            self._asked.pop(node, None)
        for node in others:
            if node not in self._actors:
                self._actors[node] = _on(node)
            if node not in self._asked:
                self._asked[node] = self._actors[node].sample.remote()

    def _answer(self, node: Node) -> Mapping[str, float] | None:
        ready, _ = ray.wait([self._asked[node]], timeout=0)
        if not ready:
            return None
        try:
            return ray.get(self._asked.pop(node))
        except RayError as error:
            if node.node_id in {alive.node_id for alive in living()}:
                self._silent.add(node)
                say(
                    f"MLflow gets no system metrics of the node {node.address}: {' '.join(str(error).split())[-200:]}"
                )
            return None


def _on(node: Node) -> Any:
    """Who looks at that machine. It takes no CPU from the search, and ends with this process."""
    place = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
    return ray.remote(num_cpus=0)(MachineMetrics).options(scheduling_strategy=place).remote()


def _name(node: Node, others: list[Node]) -> str:
    """The address of a machine; where several nodes have it, as in a simulated cluster, with a part of the id."""
    alike = sum(other.address == node.address for other in others)
    return node.address if alike == 1 else f"{node.address}-{node.node_id[:6]}"
