"""Each known model type of `transformers`, as a case of `Architecture`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sp_search.errors import CheckpointError
from sp_search.lm.architecture import Architecture
from sp_search.lm.config_json import ModelConfig, rotation_settings

ACTIVATIONS = {
    "relu": "relu", "silu": "silu", "swish": "silu", "gelu": "gelu",
    "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
}  # fmt: skip
"""transformers' names; the last three are one formula."""

Fields = dict[str, Any]


def architecture_of(config: ModelConfig, **vocabulary: Any) -> Architecture:
    """The architecture of a config.

    Args:
        config: of a known model type.
        vocabulary: the fields that depend on what its tokens are: vocab_size, start, absent.

    Raises:
        CheckpointError: a setting is none that the engine computes exactly, or makes no sense.
    """
    fields: Fields = {
        "scaled_embedding": False,
        "prompts_take_positions": True,
        "tied": bool(config["tie_word_embeddings"]),
    }
    try:
        return Architecture(**fields, **FIELDS[config.model_type](config), **vocabulary)
    except CheckpointError as error:
        if str(error).startswith(str(config.place)):
            raise
        raise CheckpointError(f"{config.place}: {error}") from error


def _opt(config: ModelConfig) -> Fields:
    config.refuse_unless(layer_norm_elementwise_affine=True)
    width, tokens = config.number("hidden_size"), config["word_embed_proj_dim"]
    biased = bool(config["enable_bias"])
    return {
        "layers": config.number("num_hidden_layers"), "embed_dim": width, "ffn_embed_dim": config.number("ffn_dim"),
        "attention_heads": config.number("num_attention_heads"),
        "max_positions": config.number("max_position_embeddings"), "positions": "learned",
        "norm_before": bool(config["do_layer_norm_before"]),
        "final_norm": bool(config["do_layer_norm_before"]) and not config["_remove_final_layer_norm"],
        "qkv_bias": biased, "out_bias": biased, "ffn_bias": biased,
        "activation": _activation(config, "activation_function"),
        "token_width": 0 if tokens in (None, width) else tokens,
    }  # fmt: skip


def _gpt2(config: ModelConfig) -> Fields:
    config.refuse_unless(scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
    width = config.number("n_embd")
    return {
        "layers": config.number("n_layer"), "embed_dim": width, "ffn_embed_dim": config["n_inner"] or 4 * width,
        "attention_heads": config.number("n_head"), "max_positions": config.number("n_positions"),
        "positions": "learned", "norm_eps": float(config["layer_norm_epsilon"]),
        "activation": _activation(config, "activation_function"),
    }  # fmt: skip


def _gpt_neox(config: ModelConfig) -> Fields:
    heads, width, found = (
        config.number("num_attention_heads"), config.number("hidden_size"), rotation_settings(config),
    )  # fmt: skip
    share = found.get("partial_rotary_factor", config["rotary_pct"])
    biased = bool(config["attention_bias"])
    return {
        "layers": config.number("num_hidden_layers"), "embed_dim": width,
        "ffn_embed_dim": config.number("intermediate_size"), "attention_heads": heads,
        "max_positions": config.number("max_position_embeddings"), "norm_eps": float(config["layer_norm_eps"]),
        "parallel": bool(config["use_parallel_residual"]), "qkv_bias": biased, "out_bias": biased,
        "activation": _activation(config, "hidden_act"), "positions": "rotary",
        "rotary_theta": float(found.get("rope_theta", config["rotary_emb_base"])),
        "rotary_width": int(width // heads * share),
    }  # fmt: skip


def _llama(config: ModelConfig) -> Fields:
    found = rotation_settings(config)
    if found.get("partial_rotary_factor", 1) != 1:
        raise CheckpointError(
            f"{config.place}: expected heads that are rotated whole, got partial_rotary_factor "
            f"{found['partial_rotary_factor']}"
        )
    width, heads = config.number("hidden_size"), config.number("num_attention_heads")
    head_width = config["head_dim"] or width // heads
    window = config["sliding_window"] if config["use_sliding_window"] else None
    longest = config.number("max_position_embeddings")
    biased = bool(config["attention_bias"])
    return {
        "layers": config.number("num_hidden_layers"), "embed_dim": width,
        "ffn_embed_dim": config.number("intermediate_size"), "attention_heads": heads,
        "key_value_heads": config["num_key_value_heads"] or heads, "head_width": head_width,
        "max_positions": min(longest, window or longest), "sliding_window": window or 0,
        "norm": "rms", "norm_bias": False, "norm_eps": float(config["rms_norm_eps"]),
        "qkv_bias": biased, "out_bias": biased, "ffn_bias": bool(config["mlp_bias"]),
        "activation": _activation(config, "hidden_act"), "gated": True, "positions": "rotary",
        "rotary_theta": float(found.get("rope_theta", 10000.0)), "rotary_width": head_width,
    }  # fmt: skip


def _mistral(config: ModelConfig) -> Fields:
    return {**_llama(config), "qkv_bias": False, "out_bias": False, "ffn_bias": False}


def _qwen2(config: ModelConfig) -> Fields:
    return {**_llama(config), "qkv_bias": True, "out_bias": False, "ffn_bias": False}


def _qwen3(config: ModelConfig) -> Fields:
    return {**_llama(config), "qk_norm": True, "ffn_bias": False}


FIELDS: Mapping[str, Callable[[ModelConfig], Fields]] = {
    "opt": _opt, "gpt2": _gpt2, "gpt_neox": _gpt_neox, "llama": _llama, "mistral": _mistral, "qwen2": _qwen2,
    "qwen3": _qwen3,
}  # fmt: skip


def _activation(config: ModelConfig, name: str) -> str:
    if config[name] not in ACTIVATIONS:
        raise CheckpointError(f"{config.place}: expected {name} {', '.join(ACTIVATIONS)}, got {config[name]!r}")
    return ACTIVATIONS[config[name]]
