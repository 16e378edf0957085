"""What `sp-search doctor` says of the nodes of a cluster: a line each, with what to do where one differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sp_search.search.cluster.checkup import Checkup
from sp_search.search.cluster.nodes import Node, Share

Finding = tuple[str, str, str]  # the part, the finding, and the next step or "" if all is well

MOST_AHEAD_S = 2.0
"""Of a node's clock: more would mix up the order of what a study records."""
LEAST_FILES = 4096
"""Ray opens some for every process and every object of its nodes."""
LEAST_MEMORY = 2 << 30
"""A worker takes 1.2 GiB on the demo, Ray half of one."""


def node_findings(found: Mapping[Node, Checkup | str], here: Checkup) -> Iterator[Finding]:
    """A finding for each node.

    Args:
        found: of `checkups`.
        here: of this process, whose program the nodes should have.
    """
    for node, one in found.items():
        if isinstance(one, str):
            yield "node", f"{node.address}: {one}", "see its logs below Ray's folder, or take it out of the cluster"
            continue
        faults = [*_program(one, here), *_limits(one)]
        gpus = f", {node.gpus:g} GPUs" if node.gpus else ""
        has = (
            f"{node.address} ({one.host}): {node.cpus:g} CPUs{gpus}, {one.memory / 2**30:.0f} GiB, {one.processor}, "
            f"Python {one.python}, clock {one.ahead_s:+.2f} s, {one.open_files:,} open files"
        )
        told = [has, *(fault for fault, _ in faults)]
        yield "node", "; ".join(told), "; ".join(dict.fromkeys(step for _, step in faults))


def room_finding(each: Share, nodes: int) -> Finding:
    """How many workers a search would have."""
    gpus = f" and {each.gpus:g} GPUs" if each.gpus else ""
    return "cluster", f"{nodes} nodes, room for {each.workers} workers of {each.cpus:g} CPUs{gpus} each", ""


def _program(one: Checkup, here: Checkup) -> Iterator[tuple[str, str]]:
    same = "set all nodes up with the same Python and `make setup`"
    if one.python != here.python:
        yield f"expected Python {here.python} as here, got {one.python}", same
    for name, wanted in here.packages.items():
        if (got := one.packages.get(name, "")) != wanted:
            yield f"expected {name} {wanted or 'absent'} as here, got {got or 'none'}", same


def _limits(one: Checkup) -> Iterator[tuple[str, str]]:
    if one.folder_fault:
        yield f"runs: {one.folder_fault}", "set runs= to a folder on shared storage, see cluster/README.md"
    if abs(one.ahead_s) - one.doubt_s > MOST_AHEAD_S:
        yield f"expected its clock within {MOST_AHEAD_S:g} s of this one", "start a time service (NTP) on all nodes"
    if one.open_files < LEAST_FILES:
        yield f"expected {LEAST_FILES:,} open files or more", f"ulimit -n {LEAST_FILES} before Ray starts there"
    if one.memory < LEAST_MEMORY:
        yield (
            f"expected {LEAST_MEMORY / 2**30:.0f} GiB of memory or more",
            "give the node more, or let it lend no CPUs",
        )
