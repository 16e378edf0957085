"""A unit LM as fairseq's own model: the way back of `lm/checkpoint.py`.

fairseq is imported when a model is asked for: it takes seconds, and turns on logging of its own.
"""

from __future__ import annotations

from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sp_search.lm.architecture import Architecture, UnitLM
from sp_search.types import SPECIALS


def fairseq_decoder(lm: UnitLM) -> Any:
    """fairseq's `TransformerDecoder` with the weights of a unit LM: frozen, without dropout, on its device."""
    from fairseq.data import Dictionary
    from fairseq.models.transformer_lm import TransformerLanguageModel, base_lm_architecture

    arguments = _arguments(lm.architecture)
    base_lm_architecture(arguments)
    dictionary = Dictionary()
    for unit in range(lm.architecture.vocab_size - SPECIALS):
        dictionary.add_symbol(str(unit))
    task = SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary)
    with torch.random.fork_rng():
        model = TransformerLanguageModel.build_model(arguments, task)
    model.load_state_dict(model.state_dict() | _state(lm))
    model.to(lm.device)
    return model.eval().requires_grad_(False).decoder


def _arguments(architecture: Architecture) -> Namespace:
    width = architecture.embed_dim
    return Namespace(
        decoder_layers=architecture.layers,
        decoder_embed_dim=width,
        decoder_input_dim=width,
        decoder_output_dim=width,
        decoder_ffn_embed_dim=architecture.ffn_embed_dim,
        decoder_attention_heads=architecture.attention_heads,
        share_decoder_input_output_embed=True,
        no_decoder_final_norm=not architecture.final_norm,
        tokens_per_sample=architecture.max_positions,
        max_target_positions=architecture.max_positions,
    )


def _state(lm: UnitLM) -> dict[str, Tensor]:
    """The weights under fairseq's names."""
    embedding = lm.embedding.float()
    state = {"decoder.embed_tokens.weight": embedding, "decoder.output_projection.weight": embedding}
    if lm.final_norm is not None:
        state |= {"decoder.layer_norm.weight": lm.final_norm[0], "decoder.layer_norm.bias": lm.final_norm[1]}
    for number, layer in enumerate(lm.layers):
        named = {
            "self_attn_layer_norm": (layer.attn_norm_weight, layer.attn_norm_bias),
            "self_attn.out_proj": (layer.out_weight, layer.out_bias),
            "final_layer_norm": (layer.ffn_norm_weight, layer.ffn_norm_bias),
            "fc1": (layer.fc1_weight, layer.fc1_bias),
            "fc2": (layer.fc2_weight, layer.fc2_bias),
        }
        parts = zip("qkv", layer.qkv_weight.chunk(3), layer.qkv_bias.chunk(3), strict=True)
        named |= {f"self_attn.{letter}_proj": (weight, bias) for letter, weight, bias in parts}
        for name, (weight, bias) in named.items():
            state[f"decoder.layers.{number}.{name}.weight"] = weight.float()
            state[f"decoder.layers.{number}.{name}.bias"] = bias.float()
    return state
