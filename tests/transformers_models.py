"""Tiny random causal LMs of `transformers`, saved as a team would have them, and the same LM as it is imported.

All speak the units of `tests.tiny`. Nothing is downloaded: each is built from a config.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from sp_search.lm.config_json import ModelConfig, read_config
from sp_search.lm.unit_tokens import GivenTokens, UnitTokens, unit_tokens
from sp_search.lm.zoo import LoadedLM, load_lm
from tests.tiny import UNITS

LAYERS, POSITIONS = 3, 64
SLAMKIT = dict(vocab_size=UNITS + 2, pad_token_id=0, bos_token_id=1, eos_token_id=1)
"""SlamKit's numbering: pad 0, bos and eos 1, then the units."""
TWIST = dict(vocab_size=UNITS + 6, pad_token_id=1, bos_token_id=2, eos_token_id=2, offset=4)
"""OPT's specials, two tokens that nothing needs, then the units, and two that pad the vocabulary."""
APART = dict(vocab_size=UNITS + 3, pad_token_id=None, bos_token_id=UNITS, eos_token_id=UNITS + 1, offset=0)
"""The units first, then bos and eos, which differ, and no pad."""

_OPT = dict(num_hidden_layers=LAYERS, max_position_embeddings=POSITIONS, hidden_size=18, num_attention_heads=3)
_NEOX = dict(
    num_hidden_layers=LAYERS, max_position_embeddings=POSITIONS, hidden_size=24, num_attention_heads=3,
    intermediate_size=29,
)  # fmt: skip
_LLAMA = dict(
    num_hidden_layers=LAYERS, max_position_embeddings=POSITIONS, hidden_size=20, num_attention_heads=5,
    intermediate_size=27,
)  # fmt: skip

CONFIGS: dict[str, Any] = {
    "opt": lambda: OPTConfig(ffn_dim=23, **_OPT, **TWIST),
    "opt, norm behind, projected": lambda: OPTConfig(
        ffn_dim=23, do_layer_norm_before=False, word_embed_proj_dim=11, **_OPT, **TWIST
    ),
    "opt, gelu, no bias": lambda: OPTConfig(
        ffn_dim=23, activation_function="gelu", enable_bias=False, **_OPT, **APART
    ),
    "gpt2": lambda: GPT2Config(n_layer=LAYERS, n_positions=POSITIONS, n_embd=15, n_head=3, n_inner=22, **SLAMKIT),
    "gpt_neox": lambda: GPTNeoXConfig(
        rope_parameters={"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.25},
        **_NEOX, **TWIST
    ),
    "gpt_neox, in turn, tied": lambda: GPTNeoXConfig(
        use_parallel_residual=False, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0},
        **_NEOX, **SLAMKIT
    ),
    "llama": lambda: LlamaConfig(**_LLAMA, **APART),
    "llama, shared heads, biases": lambda: LlamaConfig(
        num_key_value_heads=1, attention_bias=True, mlp_bias=True, **_LLAMA, **SLAMKIT
    ),
    "mistral": lambda: MistralConfig(
        **{**_LLAMA, "num_attention_heads": 4}, num_key_value_heads=2, head_dim=6, sliding_window=48, **SLAMKIT
    ),
    "qwen2": lambda: Qwen2Config(
        **{**_LLAMA, "num_attention_heads": 2}, num_key_value_heads=1, tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6}, **SLAMKIT
    ),
    "qwen3": lambda: Qwen3Config(
        **{**_LLAMA, "num_attention_heads": 4}, num_key_value_heads=2, head_dim=6, tie_word_embeddings=True, **TWIST
    ),
}  # fmt: skip
"""Every architecture, of odd widths, with each way to number tokens."""


@dataclass
class Pair:
    """A model of `transformers`, and what was imported from its folder."""

    model: PreTrainedModel
    loaded: LoadedLM
    tokens: UnitTokens
    folder: Path

    @property
    def columns(self) -> list[int]:
        """The token of each column of our logits."""
        return [token for token in self.tokens.tokens if token is not None]

    def token(self, index: int) -> int:
        """The token of a dictionary id."""
        token = self.tokens.tokens[index]
        assert token is not None
        return token

    @property
    def start(self) -> int:
        """The token in front of a source; here it also stands for a separator that is not trained."""
        return self.token(self.tokens.start)


def tiny_model(config: PreTrainedConfig, seed: int = 0) -> PreTrainedModel:
    """A model with every weight random, biases and norms included."""
    config._attn_implementation = "eager"
    model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config).float().eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=draw)
            if weight.dim() == 1:
                is_norm = "norm" in name or ".ln_" in name
                weight.copy_(1 + 0.1 * noise if is_norm and name.endswith("weight") else 0.2 * noise)
            else:
                weight.copy_(noise * weight.shape[-1] ** -0.5)
    return model.requires_grad_(False)


def pair_of(config: PreTrainedConfig, folder: Path, seed: int = 0) -> Pair:
    """Save a model, and import it again."""
    model = tiny_model(config, seed)
    model.save_pretrained(folder)
    if config.vocab_size == SLAMKIT["vocab_size"]:
        write_tokeniser(folder)
    return imported(model, folder)


def imported(model: PreTrainedModel, folder: Path) -> Pair:
    loaded = load_lm("tiny", folder, folder / "cache")
    return Pair(model, loaded, unit_tokens(folder, read_config(folder), GivenTokens()), folder)


def write_tokeniser(folder: Path, units: int = UNITS) -> None:
    """The file that SlamKit leaves beside an LM."""
    said = {"dedup": True, "bos_eos_token_id": 1, "pad_token_id": 0, "num_units": units, "load_fe": False}
    (folder / "tokeniser_config.json").write_text(json.dumps(said))


def save_as_slamkit(model: PreTrainedModel, folder: Path) -> None:
    """Save a model inside SlamKit's wrapper: `lm.` before every name, its config under `base_config`."""
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    save_file({f"lm.{name}": weight.contiguous() for name, weight in weights.items()}, folder / "model.safetensors")
    inner = json.loads((folder / "config.json").read_text())
    outer = {
        "architectures": ["UnitLM"], "model_type": "speech_language_model", "base_model_name": "Qwen/Qwen2.5-0.5B",
        "base_config": inner, "vocab_size": inner["vocab_size"], "twist_init": True, "torch_dtype": "float32",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(outer))


def kept_config(folder: Path, **changes: Any) -> ModelConfig:
    """Change a folder's config, and read it."""
    place = folder / "config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), **changes}))
    return read_config(folder)


def model_logits(pair: Pair, rows: list[list[int]]) -> Tensor:
    """Logits (B, T, columns) of token rows, padded behind; our columns in our order."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return pair.model(input_ids=ids, attention_mask=mask).logits[..., pair.columns]
