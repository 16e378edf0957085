"""The prompts of a chunk of trials, projected once a step into what attention reads.

A deep prompt needs no rows in the sequence: its key and value prefixes are `k_proj(keys[l])` and
`v_proj(values[l])`. An input prompt before the source is causal and so the same for every utterance: its rows run
through the LM once, and their keys and values become prefixes too.

K trials in the chunk   P prompt positions, padded to the longest   H heads   d head width   D embedding size
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sp_search.engine.batch.collate import onto
from sp_search.engine.transformer.attention import PromptKV
from sp_search.engine.transformer.decoder_layer import finish_layer, merge_heads, project, split_heads
from sp_search.engine.transformer.folded_weights import FoldedWeights
from sp_search.prompts.tensors import PromptTensors


@dataclass(frozen=True)
class TrialPrompt:
    """One trial's tensors as a chunk takes them: dropout already applied."""

    tensors: PromptTensors
    deep_layers: range
    is_infix: bool  # its deep prompt stands right before `<s>`

    @property
    def first_live_layer(self) -> int | None:
        """The lowest layer in which the source sees the prompt; None where it never does.

        Without any prompt it is 0: what no infix follows may be asked for `<s>`.
        """
        tensors = self.tensors
        if self.is_infix or (tensors.infix is not None and tensors.keys is None and tensors.prefix is None):
            return None
        return self.deep_layers.start if tensors.keys is not None else 0


def prompt_kv_by_layer(weights: FoldedWeights, prompts: Sequence[TrialPrompt]) -> list[PromptKV | None]:
    """The prefix of every layer for a chunk of trials; None in a layer where no trial has one.

    Trials with an input prompt alone and trials with deep prompts don't share a chunk.
    """
    first = prompts[0].tensors
    if first.keys is None:
        if first.prefix is None:
            return [None] * weights.architecture.layers
        return list(_input_prefixes(weights, [prompt.tensors.prefix for prompt in prompts]))
    longest = max(_length(prompt) for prompt in prompts)
    by_layer = [_layers_of(prompt, longest, weights.dtype) for prompt in prompts]
    return [_deep_prefix(weights, prompts, by_layer, layer) for layer in range(weights.architecture.layers)]


def _layers_of(prompt: TrialPrompt, longest: int, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """A deep prompt's keys and values (longest, D) in each of its layers, as its projections take them.

    Unbound at once: the backward pass of `keys[layer]` fills a gradient as large as all layers, for each of them.
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
    by_layer: Sequence[list[tuple[Tensor, Tensor]]],
    layer: int,
) -> PromptKV | None:
    """by_layer: `_layers_of` each prompt. Where one has nothing in this layer, its first rows stand in."""
    has = [layer in prompt.deep_layers for prompt in prompts]
    if not any(has):
        return None
    starts = [layer - prompt.deep_layers.start if there else 0 for prompt, there in zip(prompts, has, strict=True)]
    rows = [of_prompt[at] for of_prompt, at in zip(by_layer, starts, strict=True)]
    frozen = weights.layers[layer]
    keys = frozen.prompt_keys(torch.stack([key for key, _ in rows]))  # (K, P, D)
    values = frozen.prompt_values(torch.stack([value for _, value in rows]))  # (K, P, D)
    lengths = [_length(prompt) if there else 0 for prompt, there in zip(prompts, has, strict=True)]
    longest = keys.shape[1]
    return PromptKV(_heads(keys, weights), _heads(values, weights), _hidden(lengths, longest, weights.device))


def _input_prefixes(weights: FoldedWeights, rows: Sequence[Tensor | None]) -> list[PromptKV]:
    """Run input prompts through the LM by themselves; their keys and values in every layer."""
    present = [row for row in rows if row is not None]
    lengths = [len(row) for row in present]
    longest = max(lengths)
    x = torch.stack([_padded(row, longest) for row in present]).to(weights.dtype)  # (K, P, D)
    hidden = _hidden(lengths, longest, weights.device)
    ahead = torch.ones(longest, longest, dtype=torch.bool, device=weights.device).triu(1)
    found = []
    for layer in weights.layers:
        query, key, value = split_heads(project(x, layer), layer)  # (K, H, P, d)
        found.append(PromptKV(key, value, hidden))
        attended = (query @ key.transpose(-1, -2)).masked_fill(ahead, -torch.inf).float().softmax(-1)
        x = finish_layer(x, merge_heads(attended.to(value.dtype) @ value), layer)
    return found


def _length(prompt: TrialPrompt) -> int:
    assert prompt.tensors.keys is not None
    return prompt.tensors.keys.shape[1]


def _padded(rows: Tensor, length: int) -> Tensor:
    return rows if len(rows) == length else F.pad(rows, (0, 0, 0, length - len(rows)))


def _heads(x: Tensor, weights: FoldedWeights) -> Tensor:
    """(K, P, D) to (K, H, P, d)."""
    architecture = weights.architecture
    split = x.unflatten(-1, (architecture.attention_heads, architecture.head_dim))
    return split.transpose(1, 2)


def _hidden(lengths: Sequence[int], longest: int, device: torch.device) -> Tensor | None:
    if all(length == longest for length in lengths):
        return None
    ends = onto(device, torch.tensor(lengths))
    return torch.arange(longest, device=device) >= ends[:, None]
