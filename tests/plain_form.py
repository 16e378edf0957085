"""The slow, obvious form of a prompted unit LM, as the papers run it: prompts as rows, one utterance at a time.

Every row of every layer is computed, prompt rows too; a deep prompt overwrites the layer-normed input of the key and
value projections at the prompt's rows. Nothing is shared with the engine but the LM's weights and position table.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.lm.unit_lm import UnitLM, sinusoidal_positions
from sp_search.prompts.tensors import PromptTensors
from sp_search.types import EOS, SEPARATOR


def plain_logits(
    lm: UnitLM, prompt: PromptTensors, deep_layers: range, source: list[int], answer: list[int]
) -> Tensor:
    """Logits (rows, V) of `</s> source <s> answer` with its prompt rows among them, in sequence order."""
    tokens = [EOS, *source, SEPARATOR, *answer]
    embedding = torch.cat([prompt.separator[None], lm.embedding[1:]])  # `<s>` is id 0
    positions = torch.arange(2, 2 + len(tokens))
    rows = embedding[tokens] * math.sqrt(lm.architecture.embed_dim) + sinusoidal_positions(lm.architecture, positions)
    is_infix = prompt.infix is not None and prompt.keys is not None
    at = 1 + len(source)
    pieces: list[Tensor] = []
    deep_rows: list[bool] = []
    for compiled_piece, deep in (
        (prompt.prefix if prompt.prefix is not None else _deep_stand_in(prompt, is_infix), not is_infix),
        (rows[:at], False),
        (prompt.infix, is_infix),
        (rows[at:], False),
    ):
        if compiled_piece is not None:
            pieces.append(compiled_piece)
            deep_rows += [deep] * len(compiled_piece)
    x = torch.cat(pieces)
    is_deep = torch.tensor(deep_rows) & (prompt.keys is not None)
    for level in range(lm.architecture.layers):
        x = _layer(lm, level, x, prompt, deep_layers, is_deep)
    if lm.final_norm is not None:
        x = F.layer_norm(x, x.shape[-1:], *lm.final_norm)
    return x @ lm.embedding.T


def plain_tail(lm: UnitLM, prompt: PromptTensors, deep_layers: range, source: list[int], answer: list[int]) -> Tensor:
    """The last 2 + M rows: what predicts `<s>`, a1 .. aM, `</s>`."""
    return plain_logits(lm, prompt, deep_layers, source, answer)[-(len(answer) + 2) :]


def _deep_stand_in(prompt: PromptTensors, is_infix: bool) -> Tensor | None:
    """Rows for a deep prefix without an input prompt: their own states reach nothing."""
    if prompt.keys is None or is_infix:
        return None
    return torch.zeros(prompt.keys.shape[1], prompt.keys.shape[2])


def _layer(lm: UnitLM, level: int, x: Tensor, prompt: PromptTensors, deep_layers: range, is_deep: Tensor) -> Tensor:
    layer, heads = lm.layers[level], lm.architecture.attention_heads
    normed = F.layer_norm(x, x.shape[-1:], layer.attn_norm_weight, layer.attn_norm_bias)
    for_keys, for_values = normed.clone(), normed.clone()
    if is_deep.any() and level in deep_layers:
        for_keys[is_deep] = prompt.keys[level - deep_layers.start]
        for_values[is_deep] = prompt.values[level - deep_layers.start]
    weights, biases = layer.qkv_weight.chunk(3), layer.qkv_bias.chunk(3)
    query, key, value = (
        F.linear(y, w, b).unflatten(-1, (heads, -1)).transpose(0, 1)
        for y, w, b in zip((normed, for_keys, for_values), weights, biases, strict=True)
    )
    scores = query @ key.transpose(1, 2) / math.sqrt(lm.architecture.head_dim)
    hidden = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
    if level not in deep_layers:  # without a deep prompt of its own, a layer sees none
        hidden = hidden | is_deep[None, :]
        hidden = hidden & ~(torch.eye(len(x), dtype=torch.bool) & hidden.all(1)[:, None])  # no row may see nothing
    attended = scores.masked_fill(hidden, -torch.inf).softmax(-1) @ value
    x = x + F.linear(attended.transpose(0, 1).flatten(1), layer.out_weight, layer.out_bias)
    normed = F.layer_norm(x, x.shape[-1:], layer.ffn_norm_weight, layer.ffn_norm_bias)
    return x + F.linear(F.relu(F.linear(normed, layer.fc1_weight, layer.fc1_bias)), layer.fc2_weight, layer.fc2_bias)
