"""The weights of an LM in the `transformers` format, by our names.

V dictionary ids   E width of a token's embedding   H heads   d head width   D embedding size
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from sp_search.errors import CheckpointError
from sp_search.lm.architecture import Architecture
from sp_search.lm.config_json import ModelConfig

WHOLE = ("model.decoder.", "decoder.", "transformer.", "gpt_neox.", "model.", "")
"""What the names of an LM's body begin with, with or without its head."""

Layers = Mapping[str, tuple[str, ...]]
"""Our name of a layer's weight, without its `_weight` or `_bias`, and the modules whose rows make it up, in order."""

OPT: Layers = {
    "attn_norm": ("self_attn_layer_norm",), "out": ("self_attn.out_proj",), "ffn_norm": ("final_layer_norm",),
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "fc1": ("fc1",), "fc2": ("fc2",),
}  # fmt: skip
GPT2: Layers = {
    "attn_norm": ("ln_1",), "qkv": ("attn.c_attn",), "out": ("attn.c_proj",), "ffn_norm": ("ln_2",),
    "fc1": ("mlp.c_fc",), "fc2": ("mlp.c_proj",),
}  # fmt: skip
GPT_NEOX: Layers = {
    "attn_norm": ("input_layernorm",), "qkv": ("attention.query_key_value",), "out": ("attention.dense",),
    "ffn_norm": ("post_attention_layernorm",), "fc1": ("mlp.dense_h_to_4h",), "fc2": ("mlp.dense_4h_to_h",),
}  # fmt: skip
LLAMA: Layers = {
    "attn_norm": ("input_layernorm",), "out": ("self_attn.o_proj",), "ffn_norm": ("post_attention_layernorm",),
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "fc1": ("mlp.gate_proj", "mlp.up_proj"), "fc2": ("mlp.down_proj",),
    "query_norm": ("self_attn.q_norm",), "key_norm": ("self_attn.k_norm",),
}  # fmt: skip


class _Weights:
    """Weights by the names of the folder; what is missing is remembered, what is taken is gone."""

    def __init__(self, named: Mapping[str, Tensor], prefix: str) -> None:
        bare = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
        body = next(start for start in WHOLE if not start or any(name.startswith(start) for name in bare))
        self.left = {name.removeprefix(body): tensor for name, tensor in bare.items()}
        self.missing: list[str] = []

    def take(self, name: str) -> Tensor:
        if name not in self.left:
            self.missing.append(name)
            return torch.empty(0)
        return self.left.pop(name)


def engine_weights(
    named: Mapping[str, Tensor], config: ModelConfig, architecture: Architecture, tokens: Sequence[int | None]
) -> dict[str, Tensor]:
    """The folder's weights under our names.

    Args:
        named: as `read_weights` gives them.
        config: of the LM.
        architecture: the same as a description.
        tokens: for each dictionary id, the token that it is in this LM, or None.

    Raises:
        CheckpointError: weights are missing, unexpected or of another shape; all of them are named.
    """
    weights = _Weights(named, config.prefix)
    rows = _OUTSIDE[config.model_type](weights, architecture)
    tensors = {name: rows[name] for name in rows if name not in ("embedding", "head")}
    vocabulary = config.number("vocab_size")
    for ours in ("embedding", "head"):
        if ours in rows and len(rows[ours]) not in (0, vocabulary):
            raise CheckpointError(
                f"{config.place.parent}: expected an {ours} of {vocabulary} rows, as vocab_size says, got "
                f"{len(rows[ours])}"
            )
        if ours in rows:
            there = [token for token in tokens if token is not None or ours == "embedding"]
            tensors[ours] = _rows_by_id(rows[ours], there)
    modules, at = _LAYERS[config.model_type]
    for i in range(architecture.layers):
        tensors |= _layer(weights, modules, f"{at}.{i}", f"layers.{i}", architecture, config.model_type)
    if weights.missing or weights.left:
        raise CheckpointError(
            f"{config.place.parent}: expected the weights of {architecture.layers} {config.model_type} layers; "
            f"missing {_few(weights.missing)}; unexpected {_few(sorted(weights.left))}"
        )
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def _rows_by_id(rows: Tensor, tokens: Sequence[int | None]) -> Tensor:
    """(tokens, E) by dictionary id; zeros for an id without a token."""
    if not rows.numel():
        return rows
    picked = rows[torch.tensor([token or 0 for token in tokens])]
    picked[torch.tensor([token is None for token in tokens])] = 0
    return picked


def _layer(
    weights: _Weights, modules: Layers, old: str, new: str, architecture: Architecture, model_type: str
) -> dict[str, Tensor]:
    from_conv = model_type == "gpt2"  # its linear layers are stored (in, out)
    has_bias = {
        "attn_norm": architecture.norm_bias, "ffn_norm": architecture.norm_bias, "qkv": architecture.qkv_bias,
        "out": architecture.out_bias, "fc1": architecture.ffn_bias, "fc2": architecture.ffn_bias,
    }  # fmt: skip
    found: dict[str, Tensor] = {}
    for part, names in modules.items():
        if part in ("query_norm", "key_norm") and not architecture.qk_norm:
            continue
        for kind in ("weight", "bias") if has_bias.get(part) else ("weight",):
            tensor = torch.cat([weights.take(f"{old}.{name}.{kind}") for name in names])
            if from_conv and tensor.dim() == 2:
                tensor = tensor.T
            if part == "qkv" and model_type == "gpt_neox" and tensor.numel():
                tensor = _by_kind(tensor, architecture.attention_heads)
            found[f"{new}.{part}_{kind}"] = tensor
    return found


def _by_kind(rows: Tensor, heads: int) -> Tensor:
    """GPT-NeoX's rows (H, query key value, d) to (query key value, H, d), for a weight or a bias."""
    return rows.unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(0, 2)


def _opt(weights: _Weights, architecture: Architecture) -> dict[str, Tensor]:
    found = {"embedding": weights.take("embed_tokens.weight")}
    found["position_table"] = weights.take("embed_positions.weight")[2:]  # OPT's positions begin at 2
    if architecture.final_norm:
        found |= _final_norm(weights, "final_layer_norm", architecture)
    if architecture.token_width:
        found |= {name: weights.take(f"{name}.weight") for name in ("project_in", "project_out")}
    return found | _head(weights, "lm_head.weight", architecture, found["embedding"])


def _gpt2(weights: _Weights, architecture: Architecture) -> dict[str, Tensor]:
    found = {"embedding": weights.take("wte.weight"), "position_table": weights.take("wpe.weight")}
    found |= _final_norm(weights, "ln_f", architecture)
    return found | _head(weights, "lm_head.weight", architecture, found["embedding"])


def _gpt_neox(weights: _Weights, architecture: Architecture) -> dict[str, Tensor]:
    found = {"embedding": weights.take("embed_in.weight")} | _final_norm(weights, "final_layer_norm", architecture)
    return found | _head(weights, "embed_out.weight", architecture, found["embedding"])


def _llama(weights: _Weights, architecture: Architecture) -> dict[str, Tensor]:
    found = {"embedding": weights.take("embed_tokens.weight")} | _final_norm(weights, "norm", architecture)
    return found | _head(weights, "lm_head.weight", architecture, found["embedding"])


def _final_norm(weights: _Weights, module: str, architecture: Architecture) -> dict[str, Tensor]:
    kinds = ("weight", "bias") if architecture.norm_bias else ("weight",)
    return {f"final_norm_{kind}": weights.take(f"{module}.{kind}") for kind in kinds}


def _head(weights: _Weights, name: str, architecture: Architecture, embedding: Tensor) -> dict[str, Tensor]:
    """An output projection of its own. One that is tied may be stored as well; if it differs, it is unexpected."""
    if architecture.tied:
        if name in weights.left and torch.equal(weights.left[name], embedding):
            del weights.left[name]
        return {}
    return {"head": weights.take(name)}


Outside = Callable[[_Weights, Architecture], dict[str, Tensor]]
_OUTSIDE: Mapping[str, Outside] = {
    "opt": _opt, "gpt2": _gpt2, "gpt_neox": _gpt_neox,
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), _llama),
}  # fmt: skip
_LAYERS: Mapping[str, tuple[Layers, str]] = {
    "opt": (OPT, "layers"), "gpt2": (GPT2, "h"), "gpt_neox": (GPT_NEOX, "layers"),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), (LLAMA, "layers")),
}  # fmt: skip


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more if names else "none"
