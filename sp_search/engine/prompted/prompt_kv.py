"""Projects the prompts of trials into keys and values for attention, once per step.

A deep prompt needs no rows in the sequence: its key and value prefixes are `k_proj(keys[l])` and
`v_proj(values[l])`. An input prompt before the source is causal and so the same for every utterance: its rows run
through the LM once, and their keys and values become prefixes too.

Positions. In fairseq's LM a prompt has no position: no sinusoid is added to its rows, and the source begins at the
same position as without a prompt. The LMs of `prompts_take_positions` count as PEFT 0.21 does. Its prefix tuning
(`PeftModelForCausalLM.forward`) hands P past keys and values to the LM, as they are, and an attention mask that is
P columns longer. So the keys are not rotated, and the LM counts its own tokens from P on, by the length of the cache
or of the mask. Its prompt tuning puts P embeddings in front, at positions 0 to P - 1. Here the source stays at
position 0 for a rotary LM, and the keys of a prompt are rotated by -P instead: the scores are the same, and the
source is shared by prompts of all lengths. PEFT has no infix; here it takes P positions in the same way, and its deep
keys are not rotated either.

K trials in a micro-batch   P prompt positions, padded to the longest   H heads   G key/value heads   d head width
D embedding size
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.batch.collate import FIRST_POSITION, onto
from sp_search.engine.transformer.attention import PromptKV, attended_shares, product
from sp_search.engine.transformer.decoder_layer import merge_heads, project, prompt_columns, run_layers, split_heads
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.engine.transformer.rotary import Rotation, rotation_at
from sp_search.lm.architecture import Architecture
from sp_search.prompts.tensors import PromptTensors


@dataclass(frozen=True)
class TrialPrompt:
    """One trial's tensors for one micro-batch, dropout already applied."""

    tensors: PromptTensors
    deep_layers: range
    is_infix: bool  # whether its deep prompt stands right before `<s>`

    @property
    def first_live_layer(self) -> int | None:
        """The lowest layer in which the source sees the prompt; None if it never does.

        It is 0 without a prompt, because the row before `<s>` may be scored.
        """
        tensors = self.tensors
        if self.is_infix or (tensors.infix is not None and tensors.keys is None and tensors.prefix is None):
            return None
        return self.deep_layers.start if tensors.keys is not None else 0

    @property
    def rows_before_source(self) -> int:
        """How many positions of the prompt stand before the source."""
        tensors = self.tensors
        if tensors.keys is not None:
            return 0 if self.is_infix else tensors.keys.shape[1]
        return 0 if tensors.prefix is None else len(tensors.prefix)

    @property
    def rows_before_separator(self) -> int:
        """How many positions of the prompt stand right before `<s>`."""
        tensors = self.tensors
        if tensors.keys is not None:
            return tensors.keys.shape[1] if self.is_infix else 0
        return 0 if tensors.infix is None else len(tensors.infix)


def source_ahead(architecture: Architecture, rows_before_source: int) -> int:
    """How far a prompt of so many rows moves the positions of the source states.

    It moves learned positions alone. A rotary LM has its prompts moved instead.
    """
    moves = architecture.prompts_take_positions and not architecture.is_rotary
    return rows_before_source if moves else 0


def prompt_kv_by_layer(weights: FoldedWeights, prompts: Sequence[TrialPrompt]) -> list[PromptKV | None]:
    """The prefix of every layer; None for a layer in which no trial has one.

    Trials with only an input prompt and trials with deep prompts don't share a micro-batch.
    """
    layers = weights.architecture.layers
    if prompts[0].tensors.keys is not None:
        longest = max(_length(prompt) for prompt in prompts)
        rows_by_prompt = [_rows_by_layer(prompt, longest, weights.dtype) for prompt in prompts]
        return [_deep_prefix(weights, prompts, rows_by_prompt, level) for level in range(layers)]
    prefixes = [prompt.tensors.prefix for prompt in prompts if prompt.tensors.prefix is not None]
    return list(_input_prefixes(weights, prefixes)) if prefixes else [None] * layers


def _rows_by_layer(prompt: TrialPrompt, longest: int, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """The key and value rows, each (longest, D), of every layer that has a deep prompt.

    All layers are unbound at once, because the backward of each `keys[layer]` would fill a gradient as large as all
    layers.
    """
    keys, values = prompt.tensors.keys, prompt.tensors.values
    assert keys is not None
    assert values is not None
    room = (0, 0, 0, longest - keys.shape[1])
    rows = (F.pad(part.to(dtype), room).unbind() for part in (keys, values))
    return list(zip(*rows, strict=True))


def _deep_prefix(
    weights: FoldedWeights,
    prompts: Sequence[TrialPrompt],
    rows_by_prompt: Sequence[list[tuple[Tensor, Tensor]]],
    level: int,
) -> PromptKV | None:
    """The prefix of one layer; None if no trial has one there.

    rows_by_prompt holds `_rows_by_layer` of each prompt. For a prompt without rows in this layer, the rows of its
    first layer are used and hidden, so that all prompts are projected together.
    """
    if not any(level in prompt.deep_layers for prompt in prompts):
        return None
    lengths, keys, values = [], [], []
    for prompt, rows in zip(prompts, rows_by_prompt, strict=True):
        is_there = level in prompt.deep_layers
        key, value = rows[level - prompt.deep_layers.start if is_there else 0]  # each (P, D)
        lengths.append(_length(prompt) if is_there else 0)
        keys.append(key)
        values.append(value)
    key, value = prompt_columns(  # (K, G, P, d)
        torch.stack(keys), torch.stack(values), weights.layers[level], _rotation_to_front(weights, prompts)
    )
    return PromptKV(key, value, _hidden(lengths, len(keys[0]), weights.device))


def _rotation_to_front(weights: FoldedWeights, prompts: Sequence[TrialPrompt]) -> Rotation | None:
    """The rotation that puts keys without a position to where the source begins -P positions later."""
    if not weights.architecture.is_rotary:
        return None
    before = torch.tensor([[-prompt.rows_before_source] for prompt in prompts])  # (K, 1)
    return rotation_at(weights, onto(weights.device, before))


def _input_prefixes(weights: FoldedWeights, prompts: Sequence[Tensor]) -> list[PromptKV]:
    """Run input prompts, each (P, D), through the LM alone. Returns their keys and values in every layer."""
    lengths = [len(prompt) for prompt in prompts]
    longest = max(lengths)
    hidden = _hidden(lengths, longest, weights.device)
    rotation, marks = _input_positions(weights, lengths)
    is_later = torch.ones(longest, longest, dtype=torch.bool, device=weights.device).triu(1)
    found: list[PromptKV] = []

    def attend_to_prompt(x: Tensor, level: int) -> tuple[Tensor, Tensor]:
        query, key, value = split_heads(project(x, weights.layers[level]), weights.layers[level], rotation)
        found.append(PromptKV(key, value, hidden))
        scores = product(query, key.transpose(-1, -2)).masked_fill(is_later, -torch.inf)  # (K, H, P, P)
        return x, merge_heads(product(attended_shares(scores), value))

    x = torch.stack([_padded(prompt, longest) for prompt in prompts]).to(weights.dtype)  # (K, P, D)
    run_layers(x if marks is None else x + marks, weights.layers, attend_to_prompt)
    return found


def _input_positions(weights: FoldedWeights, lengths: Sequence[int]) -> tuple[Rotation | None, Tensor | None]:
    """The rotation of the rows of input prompts, or what their positions add to them, (P, D); fairseq's have none."""
    if not weights.architecture.prompts_take_positions:
        return None, None
    rows = torch.arange(max(lengths), device=weights.device)
    if weights.positions is not None:
        return None, weights.positions[FIRST_POSITION + rows]
    return rotation_at(weights, rows - onto(weights.device, torch.tensor(lengths))[:, None]), None


def _length(prompt: TrialPrompt) -> int:
    assert prompt.tensors.keys is not None
    return prompt.tensors.keys.shape[1]


def _padded(rows: Tensor, length: int) -> Tensor:
    return rows if len(rows) == length else F.pad(rows, (0, 0, 0, length - len(rows)))


def _hidden(lengths: Sequence[int], longest: int, device: torch.device) -> Tensor | None:
    if all(length == longest for length in lengths):
        return None
    ends = onto(device, torch.tensor(lengths))
    return torch.arange(longest, device=device) >= ends[:, None]
