"""A verbalizer as tensors: what is fed behind `<s>`, and what is expected there.

M answer symbols   C label symbols   V vocabulary
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sp_search.engine.forward import Answers
from sp_search.types import EOS, SEPARATOR, SPECIALS


@dataclass(frozen=True)
class AnswerTree:
    """All legal answers as one tree, so that one pass scores every answer of an utterance.

    Node 0 is `<s>`; node j > 0 stands for one answer prefix and ends in `symbols[j - 1]`.
    """

    legal: tuple[tuple[int, ...], ...]  # the answers, as label symbols
    symbols: tuple[int, ...]  # of nodes 1 .. M
    depth: Tensor  # (1 + M,), int64
    visible: Tensor  # (1 + M, 1 + M), bool: a node's ancestors and itself
    paths: Tensor  # (answers, longest + 1), int64: nodes of each answer from `<s>` on, padded with -1


def answer_tree(legal: tuple[tuple[int, ...], ...], device: torch.device) -> AnswerTree:
    """The tree of the given answers, each a tuple of label symbols."""
    nodes: dict[tuple[int, ...], int] = {(): 0}
    for answer in legal:
        for end in range(1, len(answer) + 1):
            nodes.setdefault(answer[:end], len(nodes))
    visible = np.zeros((len(nodes), len(nodes)), dtype=bool)
    for prefix, node in nodes.items():
        for end in range(len(prefix) + 1):
            visible[node, nodes[prefix[:end]]] = True
    longest = max(map(len, legal))
    paths = np.full((len(legal), longest + 1), -1, dtype=np.int64)
    for row, answer in enumerate(legal):
        paths[row, : len(answer) + 1] = [nodes[answer[:end]] for end in range(len(answer) + 1)]
    return AnswerTree(
        legal=legal,
        symbols=tuple(prefix[-1] for prefix in nodes if prefix),
        depth=torch.tensor([len(prefix) for prefix in nodes], device=device),
        visible=torch.from_numpy(visible).to(device),
        paths=torch.from_numpy(paths).to(device),
    )


@dataclass(frozen=True)
class Verbalized:
    """One trial's verbalizer on a device."""

    inputs: Tensor  # (C,), int64: the unit fed for each symbol
    outputs: Tensor  # (C,), int64: the column of the logits (or of the head) that stands for it

    @classmethod
    def of(cls, units: tuple[int, ...], *, linear: bool, device: torch.device) -> Verbalized:
        """From the dictionary id of each symbol; a linear head has columns of its own behind the specials."""
        inputs = torch.tensor(units, device=device)
        outputs = torch.arange(SPECIALS, SPECIALS + len(units), device=device) if linear else inputs
        return cls(inputs, outputs)

    def targets(self, symbols: Tensor) -> Tensor:
        """(B, M) answer symbols to (B, M + 2) targets of the tail's rows: `<s>`, a1 .. aM, `</s>`."""
        edge = symbols.new_ones(len(symbols), 1)
        return torch.cat([edge * SEPARATOR, self.outputs[symbols], edge * EOS], dim=1)

    def fed(self, symbols: Tensor) -> Tensor:
        """(..., M) answer symbols to the units fed behind `<s>`."""
        return self.inputs[symbols]


def sequence_answers(tokens: Tensor) -> Answers:
    """One answer an utterance, (K, B, M), each token behind the one before."""
    rows = tokens.shape[-1] + 1
    device = tokens.device
    return Answers(
        tokens=tokens,
        depth=torch.arange(rows, device=device),
        visible=torch.ones(rows, rows, dtype=torch.bool, device=device).tril(),
    )


def tree_answers(tree: AnswerTree, verbalized: list[Verbalized]) -> Answers:
    """Every legal answer, for each trial in its own units: (K, 1, M)."""
    symbols = torch.tensor(tree.symbols, device=tree.depth.device)
    return Answers(torch.stack([v.fed(symbols) for v in verbalized])[:, None], tree.depth, tree.visible)


def answer_scores(logits: Tensor, tree: AnswerTree, verbalized: Verbalized) -> Tensor:
    """Log-probability of every legal answer, its `</s>` included.

    Args:
        logits: (B, 2 + M, V or C + 4), of one trial over the tree; row 0 predicts `<s>` and is not used.
        tree: the legal answers.
        verbalized: the trial's verbalizer.

    Returns:
        (B, answers), nats, not normalised over the legal answers.
    """
    logp = logits[:, 1:].log_softmax(-1)  # (B, 1 + M, V): row j is what follows node j
    symbols = torch.tensor([0, *tree.symbols], device=logits.device)
    columns = verbalized.outputs[symbols]  # (1 + M,), of the node itself
    parent, node = tree.paths[:, :-1], tree.paths[:, 1:]  # (answers, longest)
    there = node >= 0
    steps = logp[:, parent.clamp_min(0), columns[node.clamp_min(0)]]  # (B, answers, longest)
    ends = tree.paths.gather(1, there.sum(1, keepdim=True))[:, 0]  # (answers,), the last node of each
    return (steps * there).sum(-1) + logp[:, ends, EOS]
