"""fairseq's own decoder with the prompt as rows of the sequence, the way the papers run it (method.md).

Every row of every layer is computed for every utterance, and logits at every row. In a layer with a deep prompt the
layer-normed rows of the prompt are overwritten before the key and value projections. Nothing is shared with the
engine but the prompt itself, so it is the baseline of the benchmarks and an oracle in tests.

B utterances   R rows: prompt and sequence, padded on the right   P prompt rows   M answer symbols   D embedding size
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sp_search.engine.answer.label_map import UNSCORED
from sp_search.engine.prompted.prompt_kv import TrialPrompt
from sp_search.types import EOS, PAD, SEPARATOR


@dataclass(frozen=True)
class Rows:
    """A batch with places for its prompt.

    A prompt row has token PAD, which fairseq gives no position and which moves no position behind it.
    """

    tokens: Tensor  # (B, R), int64: PAD at prompt rows and behind the end
    targets: Tensor  # (B, R), int64: from `<s>` on; UNSCORED where nothing is scored
    prompt: Tensor  # (P, B), int64: the rows of the prompt

    @property
    def is_prompt(self) -> Tensor:
        """(B, R), bool."""
        return torch.zeros_like(self.tokens, dtype=torch.bool).scatter(1, self.prompt.T, True)


def lay_out(sources: Sequence[npt.NDArray[np.int32]], fed: Tensor, targets: Tensor, before: int, behind: int) -> Rows:
    """`prompt </s> u1 .. uN prompt <s> a1 .. aM` row by row, on the device of `fed`.

    Args:
        sources: the units of each utterance.
        fed: (B, M), the units that stand for its answer, PAD behind the last.
        targets: (B, M + 2), what is expected from `<s>` on; UNSCORED where nothing is scored.
        before: prompt rows before the source.
        behind: prompt rows right before `<s>`.
    """
    answer, device = targets.shape[1], fed.device
    units, expected = fed.cpu().numpy(), targets.cpu().numpy()
    width = before + max(map(len, sources)) + behind + answer
    tokens = np.full((len(sources), width), PAD)
    wanted = np.full_like(tokens, UNSCORED)
    prompt = np.empty((before + behind, len(sources)), dtype=np.int64)
    for row, source in enumerate(sources):
        end = before + 1 + len(source)  # of the source
        separator = end + behind
        tokens[row, before] = EOS
        tokens[row, before + 1 : end] = source
        tokens[row, separator] = SEPARATOR
        tokens[row, separator + 1 : separator + answer - 1] = units[row]
        wanted[row, separator - 1 : separator - 1 + answer] = expected[row]
        prompt[:before, row], prompt[before:, row] = np.arange(before), np.arange(end, separator)
    return Rows(
        tokens=torch.from_numpy(tokens).to(device),
        targets=torch.from_numpy(wanted).to(device),
        prompt=torch.from_numpy(prompt).to(device),
    )


def prompt_rows(prompt: TrialPrompt) -> tuple[int, int]:
    """Prompt rows before the source, and right before `<s>`."""
    tensors = prompt.tensors
    before = len(tensors.prefix) if tensors.prefix is not None else 0
    behind = len(tensors.infix) if tensors.infix is not None else 0
    if tensors.keys is not None and not prompt.is_infix:
        before = tensors.keys.shape[1]  # deep prompts without an input prompt stand in rows all the same
    return before, behind


def row_logits(decoder: Any, rows: Rows, prompt: TrialPrompt) -> Tensor:
    """Logits (B, R, V or C + 4) at every row, without dropout behind a linear verbalizer."""
    tensors = prompt.tensors
    embedded = decoder.embed_tokens(rows.tokens)
    embedded = torch.where((rows.tokens == SEPARATOR)[..., None], tensors.separator, embedded)
    x = decoder.embed_scale * embedded + decoder.embed_positions(rows.tokens)  # (B, R, D)
    x = _overwritten(x.transpose(0, 1), rows.prompt, _input_rows(prompt))  # (R, B, D), as fairseq's layers take it
    padding = (rows.tokens == PAD) & ~rows.is_prompt
    ahead = decoder.buffered_future_mask(x).isinf()  # as bool: torch warns where its kind is not that of the padding
    with _deep_prompts(decoder, rows, prompt):
        for level, layer in enumerate(decoder.layers):
            is_blind = tensors.keys is not None and level not in prompt.deep_layers
            mask = _without_prompt(ahead, rows, layer.nh) if is_blind else ahead
            x, _, _ = layer(x, self_attn_mask=mask, self_attn_padding_mask=padding if padding.any() else None)
    if decoder.layer_norm is not None:
        x = decoder.layer_norm(x)
    logits: Tensor = decoder.output_layer(x.transpose(0, 1))
    return logits if tensors.head is None else logits @ tensors.head.T


def _input_rows(prompt: TrialPrompt) -> Tensor:
    """(P, D): the input prompt; zeros where a deep prompt has none, for those rows' own states reach nothing."""
    tensors = prompt.tensors
    before, _ = prompt_rows(prompt)
    nothing = tensors.separator.new_zeros(before, len(tensors.separator))
    prefix = tensors.prefix if tensors.prefix is not None else nothing
    return prefix if tensors.infix is None else torch.cat([prefix, tensors.infix])


def _overwritten(x: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """(R, B, D) with the rows (P, B) of each utterance set to the same values (P, D)."""
    utterances = torch.arange(x.shape[1], device=x.device).expand_as(places)
    return x.index_put((places, utterances), values[:, None].expand(-1, x.shape[1], -1))


@contextmanager
def _deep_prompts(decoder: Any, rows: Rows, prompt: TrialPrompt) -> Iterator[None]:
    """While entered, each layer's attention takes its key and value prompts at the prompt's rows."""
    keys, values = prompt.tensors.keys, prompt.tensors.values
    with ExitStack() as hooks:
        if keys is not None and values is not None:
            for level, key, value in zip(prompt.deep_layers, keys, values, strict=True):
                take = partial(_take_prompt, places=rows.prompt, key=key, value=value)
                hook = decoder.layers[level].self_attn.register_forward_pre_hook(take, with_kwargs=True)
                hooks.callback(hook.remove)
        yield


def _take_prompt(
    _: Any, unnamed: tuple[Any, ...], named: dict[str, Any], *, places: Tensor, key: Tensor, value: Tensor
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What an attention is called with, its key and value inputs overwritten at the prompt's rows."""
    replaced = {"key": _overwritten(named["key"], places, key), "value": _overwritten(named["value"], places, value)}
    return unnamed, named | replaced


def _without_prompt(ahead: Tensor, rows: Rows, heads: int) -> Tensor:
    """(B * H, R, R): what is hidden in a layer that sees no prompt; a row with nothing else to see sees itself."""
    hidden = ahead | rows.is_prompt[:, None]  # (B, R, R)
    itself = torch.eye(len(ahead), dtype=torch.bool, device=ahead.device)
    return (hidden & ~(hidden.all(-1, keepdim=True) & itself)).repeat_interleave(heads, dim=0)
