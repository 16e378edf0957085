"""All legal answers as one tree, so that every answer of an utterance is scored at once.

M answer symbols   C label symbols   V vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.engine.answer.label_map import LabelMap
from sp_search.engine.prompted.target_block import TargetBlock
from sp_search.tasks.label_space import NOTHING


@dataclass(frozen=True)
class AnswerTree:
    """The beginnings of all legal answers.

    Node 0 is `<s>`. Node j > 0 is one beginning of answers and ends in `symbols[j - 1]`. A whole answer has a node
    only where answers differ in length; otherwise `</s>` tells none from another, and nothing behind them is scored.
    """

    legal: tuple[tuple[int, ...], ...]  # the answers, as label symbols
    symbols: tuple[int, ...]  # of nodes 1 .. M
    depth: Tensor  # (1 + M,), int64
    visible: Tensor  # (1 + M, 1 + M), bool: a node's ancestors and itself
    steps: Tensor  # (answers, longest), int64: the symbol of each step, padded with -1
    parents: Tensor  # (answers, longest), int64: the node before each step, padded with -1
    ends: Tensor | None  # (answers,), int64: the node of each whole answer; None where all are of one length

    @property
    def scored_symbols(self) -> Tensor:
        """(answers,), int64: how many symbols of each answer are scored, its `</s>` included where that is scored."""
        return (self.steps >= 0).sum(-1) + (self.ends is not None)


def answer_tree(legal: tuple[tuple[int, ...], ...], device: torch.device) -> AnswerTree:
    """The tree of the given answers, each a tuple of label symbols."""
    lengths = {len(answer) for answer in legal}
    with_ends = len(lengths) > 1
    nodes: dict[tuple[int, ...], int] = {(): 0}
    for answer in legal:
        for end in range(1, len(answer) + with_ends):
            nodes.setdefault(answer[:end], len(nodes))
    visible = np.zeros((len(nodes), len(nodes)), dtype=bool)
    for prefix, node in nodes.items():
        for end in range(len(prefix) + 1):
            visible[node, nodes[prefix[:end]]] = True
    steps = np.full((len(legal), max(lengths)), -1, dtype=np.int64)
    parents = steps.copy()
    for row, answer in enumerate(legal):
        steps[row, : len(answer)] = answer
        parents[row, : len(answer)] = [nodes[answer[:end]] for end in range(len(answer))]
    return AnswerTree(
        legal=legal,
        symbols=tuple(prefix[-1] for prefix in nodes if prefix),
        depth=torch.tensor([len(prefix) for prefix in nodes], device=device),
        visible=torch.from_numpy(visible).to(device),
        steps=torch.from_numpy(steps).to(device),
        parents=torch.from_numpy(parents).to(device),
        ends=torch.tensor([nodes[answer] for answer in legal], device=device) if with_ends else None,
    )


def answer_numbers(legal: Sequence[tuple[int, ...]], answers: npt.NDArray[np.int32]) -> Tensor:
    """The number of each utterance's answer among the legal ones.

    Args:
        legal: the answers, as label symbols.
        answers: (N, M) label symbols, NOTHING behind shorter ones.

    Returns:
        (N,), int64, on the CPU; -1 for an answer that is not legal.
    """
    numbers = {answer: number for number, answer in enumerate(legal)}
    rows = (tuple(symbol for symbol in row if symbol != NOTHING) for row in answers.tolist())
    return torch.tensor([numbers.get(row, -1) for row in rows], dtype=torch.int64)


def tree_answers(tree: AnswerTree, verbalized: list[LabelMap]) -> TargetBlock:
    """Every legal answer, for each trial in its own units: (K, 1, M)."""
    symbols = torch.tensor(tree.symbols, dtype=torch.int64, device=tree.depth.device)
    tokens = torch.stack([v.fed(symbols) for v in verbalized])[:, None]
    return TargetBlock(tokens, tree.depth, tree.visible, predicts_separator=False)


def answer_scores(logits: Tensor, tree: AnswerTree, verbalized: LabelMap) -> Tensor:
    """Log-probability of every legal answer; its `</s>` included where the answers' lengths differ.

    Args:
        logits: (B, 1 + M, V or C + 4), of one trial over the tree.
        tree: the legal answers.
        verbalized: the trial's verbalizer.

    Returns:
        (B, answers), nats, not normalised over the legal answers.
    """
    logp = logits.log_softmax(-1)  # (B, 1 + M, V): row j is what follows node j
    columns = verbalized.outputs[tree.steps.clamp_min(0)]  # (answers, longest)
    scores = (logp[:, tree.parents.clamp_min(0), columns] * (tree.steps >= 0)).sum(-1)  # (B, answers)
    return scores if tree.ends is None else scores + logp[:, tree.ends, verbalized.end]
