"""Each node of a cluster is a line, and each way in which it may differ has its next step."""

from dataclasses import replace

import pytest

from sp_search.cli.advice.node_findings import node_findings, room_finding
from sp_search.search.cluster.checkup import Checkup
from sp_search.search.cluster.nodes import Node, Share

NODE = Node("a", "10.0.0.1", 8.0, 2.0)
HERE = Checkup(
    host="head", python="3.11.7", packages={"torch": "2.13.0", "peft": ""}, processor="AMD EPYC (avx512_bf16)",
    memory=24 << 30, open_files=65536, folder_fault="", ahead_s=0.0, doubt_s=0.0,
)  # fmt: skip


def finding(**changes):
    ((part, told, step),) = node_findings({NODE: replace(HERE, host="one", **changes)}, HERE)
    assert part == "node"
    return told, step


def test_a_node_that_is_as_this_machine_is_told_with_what_it_has():
    told, step = finding(ahead_s=-0.013)
    assert step == ""
    assert told == (
        "10.0.0.1 (one): 8 CPUs, 2 GPUs, 24 GiB, AMD EPYC (avx512_bf16), Python 3.11.7, clock -0.01 s, "
        "65,536 open files"
    )


@pytest.mark.parametrize(
    ("changes", "fault", "step"),
    [
        ({"python": "3.12.1"}, "expected Python 3.11.7 as here, got 3.12.1", "the same Python"),
        (
            {"packages": {"torch": "2.12.0", "peft": ""}},
            "expected torch 2.13.0 as here, got 2.12.0",
            "the same Python",
        ),
        ({"packages": {"peft": ""}}, "expected torch 2.13.0 as here, got none", "the same Python"),
        (
            {"packages": {"torch": "2.13.0", "peft": "0.21"}},
            "expected peft absent as here, got 0.21",
            "the same Python",
        ),
        ({"folder_fault": "another folder of that name"}, "runs: another folder of that name", "shared storage"),
        ({"ahead_s": 12.0}, "expected its clock within 2 s of this one", "time service"),
        ({"ahead_s": -12.0}, "expected its clock within 2 s of this one", "time service"),
        ({"open_files": 1024}, "expected 4,096 open files or more", "ulimit -n 4096"),
        ({"memory": 1 << 30}, "expected 2 GiB of memory or more", "give the node more"),
    ],
)
def test_what_differs_is_told_with_the_next_step(changes, fault, step):
    told, next_step = finding(**changes)
    assert told.endswith(f"; {fault}")
    assert step in next_step


def test_a_clock_is_not_doubted_more_than_the_answer_was_late():
    assert finding(ahead_s=3.0, doubt_s=1.5)[1] == ""
    assert finding(ahead_s=4.0, doubt_s=1.5)[1] != ""


def test_several_faults_with_one_remedy_name_it_once():
    told, step = finding(python="3.12.1", packages={"torch": "1", "peft": ""})
    assert told.count("; expected") == 2
    assert step.count("set all nodes up") == 1


def test_a_node_without_an_answer_is_named_with_the_reason():
    ((_, told, step),) = node_findings({NODE: "no answer within 120 s"}, HERE)
    assert told == "10.0.0.1: no answer within 120 s"
    assert step


def test_what_a_search_would_have_is_said():
    assert room_finding(Share(6, 2.0, 0.0), 3)[1] == "3 nodes, room for 6 workers of 2 CPUs each"
    assert room_finding(Share(2, 8.0, 1.0), 2)[1] == "2 nodes, room for 2 workers of 8 CPUs and 1 GPUs each"
