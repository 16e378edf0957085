"""A unit LM as fairseq's own model: the way back of `lm/checkpoint.py`.

fairseq is imported when a model is asked for: it takes seconds, and turns on logging of its own.
"""

from __future__ import annotations

from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from sp_search.errors import ConfigError
from sp_search.lm.architecture import Architecture
from sp_search.lm.unit_lm import UnitLM
from sp_search.types import SPECIALS


def fairseq_decoder(lm: UnitLM, instead: str = "one of fairseq") -> Any:
    """fairseq's `TransformerDecoder` with the weights of a unit LM: frozen, without dropout, on its device.

    Args:
        lm: the unit LM.
        instead: what to take where fairseq has no such LM, for the message.

    Raises:
        ConfigError: the LM is no `transformer_lm`.
    """
    from fairseq.data import Dictionary
    from fairseq.models.transformer_lm import TransformerLanguageModel, base_lm_architecture

    arguments = _arguments(lm.architecture)
    base_lm_architecture(arguments)
    dictionary = Dictionary()
    if not lm.architecture.is_fairseqs:
        raise ConfigError(
            "baseline: expected a fairseq transformer_lm to run through fairseq, got an LM of another architecture; "
            f"take {instead}"
        )
    for unit in range(lm.architecture.vocab_size - SPECIALS):
        dictionary.add_symbol(str(unit))
    task = SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary)
    with torch.random.fork_rng():
        model = TransformerLanguageModel.build_model(arguments, task)
    model.load_state_dict(model.state_dict() | _state(lm))
    model.to(lm.device)
    return model.eval().requires_grad_(False).decoder


PARTS = {
    "attn_norm": "self_attn_layer_norm",
    "out": "self_attn.out_proj",
    "ffn_norm": "final_layer_norm",
    "fc1": "fc1",
    "fc2": "fc2",
    "final_norm": "layer_norm",
}
"""fairseq's names of the parts of a decoder by ours."""


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
    for ours, tensor in lm.tensors().items():
        *place, name = ours.split(".")
        part, _, kind = name.rpartition("_")  # of fc1_weight, say
        where = ".".join(["decoder", *place])
        if part == "qkv":
            for letter, of_letter in zip("qkv", tensor.float().chunk(3), strict=True):
                state[f"{where}.self_attn.{letter}_proj.{kind}"] = of_letter
        elif part in PARTS:
            state[f"{where}.{PARTS[part]}.{kind}"] = tensor.float()
    return state
