"""A causal LM in the `transformers` format for both sides of a benchmark: a folder, or one of random weights.

`qwen2:24x896x14x2` is an LM of that type with 24 layers, 896 wide, 14 heads and 2 key/value heads. Its units are the
500 that SlamKit's LMs have, numbered as TWIST's config says it, with `offset`. `transformers` is imported when a
function is called: it is no dependency of the package.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, Literal

import torch

from sp_search.errors import ConfigError
from sp_search.lm.architecture import Architecture
from sp_search.lm.config_json import read_config
from sp_search.lm.model_types import architecture_of
from sp_search.lm.unit_tokens import GivenTokens, UnitTokens, unit_tokens

Arithmetic = Literal["float32", "autocast", "bfloat16"]
ARITHMETICS: tuple[Arithmetic, ...] = ("float32", "autocast", "bfloat16")
"""float32 weights; the same under autocast to bfloat16; weights in bfloat16. The prompt is float32 in each."""

Attention = Literal["eager", "sdpa"]
ATTENTIONS: tuple[Attention, ...] = ("eager", "sdpa")
"""What `transformers` attends with: written out, or torch's own function."""

OLD_NAMES = ("past_key_values", "is_gradient_checkpointing")
"""What PEFT 0.21 uses and transformers 5.24 calls otherwise: a warning for each update."""

SHAPE = re.compile(r"(opt|gpt2|gpt_neox|llama|mistral|qwen2|qwen3):(\d+)x(\d+)x(\d+)(?:x(\d+))?")
UNITS, OFFSET, POSITIONS = 500, 4, 2048


def lm_folder(name: str, under: Path) -> Path:
    """The folder of an LM: that of its name, or a new one with random weights.

    Args:
        name: a folder, or TYPE:LAYERSxWIDTHxHEADS, and xKEY_VALUE_HEADS if they are fewer.
        under: where a new folder is made.

    Raises:
        ConfigError: it is neither of them, or `transformers` can't build it.
    """
    if (match := SHAPE.fullmatch(name)) is None:
        if Path(name).is_dir():
            return Path(name)
        raise ConfigError(f"lms: expected a folder, or a shape as qwen2:4x256x4, got {name!r}")
    folder = under / name.replace(":", "-")
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    layers, width, heads = (int(number) for number in match.groups()[1:4])
    common = {"vocab_size": UNITS + OFFSET, "pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2, "offset": OFFSET}
    try:
        settings = AutoConfig.for_model(match[1], **common, **_sizes(match[1], layers, width, heads, match[5]))
        with torch.random.fork_rng():
            torch.manual_seed(0)
            AutoModelForCausalLM.from_config(settings).save_pretrained(folder)
    except ValueError as error:
        raise ConfigError(f"lms: expected a shape that transformers builds, got {name}: {error}") from error
    return folder


def tokens_of(folder: Path, given: GivenTokens) -> UnitTokens:
    """Which token of a folder's LM is which unit.

    Raises:
        CheckpointError: as `read_config` and `unit_tokens`.
    """
    return unit_tokens(folder, read_config(folder), given)


def architecture_in(folder: Path, given: GivenTokens) -> Architecture:
    """The LM of a folder as a description, without its weights.

    Raises:
        CheckpointError: as `tokens_of` and `architecture_of`.
    """
    tokens = tokens_of(folder, given)
    return architecture_of(
        read_config(folder), vocab_size=len(tokens.tokens), start=tokens.start, absent=tokens.absent
    )


def frozen_model(folder: Path, *, arithmetic: Arithmetic, attention: Attention, device: torch.device) -> Any:
    """The LM as `transformers` loads it, without gradients of its weights.

    Raises:
        ConfigError: `transformers` can't load it.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    for name in OLD_NAMES:
        warnings.filterwarnings("ignore", f"`{name}` is deprecated", FutureWarning)
    dtype = torch.bfloat16 if arithmetic == "bfloat16" else torch.float32
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation=attention, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{folder}: expected an LM that transformers loads, got {error}") from error
    return model.to(device).eval().requires_grad_(False)


def _sizes(model_type: str, layers: int, width: int, heads: int, kv_heads: str | None) -> dict[str, Any]:
    """The shape under the names of a model type; a feed-forward part has four times the width."""
    if model_type == "gpt2":
        return {"n_layer": layers, "n_embd": width, "n_head": heads, "n_positions": POSITIONS}
    sizes = {
        "num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads,
        "max_position_embeddings": POSITIONS,
    }  # fmt: skip
    if model_type == "opt":
        return {**sizes, "ffn_dim": 4 * width, "word_embed_proj_dim": width}
    sizes["intermediate_size"] = 4 * width
    if model_type == "gpt_neox":
        return sizes
    return {**sizes, "num_key_value_heads": int(kv_heads or heads), "head_dim": width // heads}
