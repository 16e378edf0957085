"""A fairseq `transformer_lm` checkpoint in, a `UnitLM` out; nothing in the file is ever run.

Two layouts exist, `{"args": Namespace, "model": ...}` (old) and `{"cfg": {...}, "model": ...}` (newer), and old names
that fairseq itself renames on loading (`upgrade_state_dict_named` of its decoder and multi-head attention).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sp_search.errors import CheckpointError
from sp_search.lm.architecture import Architecture
from sp_search.lm.unit_lm import UnitLM, tensors_fingerprint
from sp_search.units.fairseq_file import model_settings, read_checkpoint

IGNORED = re.compile(r"decoder\.(version|embed_positions\._float_tensor)$")
LAST_WITHOUT_FINAL_NORM = 2.0
"""fairseq: decoders of this version or below, or saved without a version, did not normalise after their layers."""


def import_checkpoint(path: Path) -> UnitLM:
    """Read a checkpoint, float32, on the CPU.

    Raises:
        CheckpointError: it is absent, damaged, holds objects that are not on the allow-list, is another model, or has
            missing or unexpected weights; all of them are named.
    """
    checkpoint = read_checkpoint(path, needed="model")
    settings = model_settings(checkpoint, path)
    model = checkpoint["model"]
    if not isinstance(model, dict) or not all(isinstance(tensor, Tensor) for tensor in model.values()):
        raise CheckpointError(f"{path}: expected tensors by name under model, got something else")
    weights = _renamed({name: tensor.float() for name, tensor in model.items() if not IGNORED.search(name)})
    _check_tied(weights, path)
    version = float(model["decoder.version"][0]) if "decoder.version" in model else 1.0
    final_norm = version > LAST_WITHOUT_FINAL_NORM and not settings.get("no_decoder_final_norm")
    architecture = _architecture(settings, len(weights["decoder.embed_tokens.weight"]), final_norm, path)
    try:
        tensors = _gathered(weights, architecture, path)
        return UnitLM.from_tensors(architecture, tensors, tensors_fingerprint(tensors))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Old names as fairseq renames them: one input projection for three, norms by number."""
    renamed: dict[str, Tensor] = {}
    for old, tensor in weights.items():
        name = old.replace("layer_norms.0.", "self_attn_layer_norm.").replace("layer_norms.2.", "final_layer_norm.")
        if match := re.fullmatch(r"(.*\.)in_proj_(weight|bias)", name):
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                renamed[f"{match[1]}{letter}_proj.{match[2]}"] = part
        else:
            renamed[name] = tensor
    return renamed


def _check_tied(weights: dict[str, Tensor], path: Path) -> None:
    """Drop the output projection once it is known to be the embedding."""
    embedding = weights.get("decoder.embed_tokens.weight")
    projection = weights.pop("decoder.output_projection.weight", embedding)
    if embedding is None:
        raise CheckpointError(f"{path}: expected weights of a transformer_lm, found no decoder.embed_tokens.weight")
    if projection is None or not torch.equal(projection, embedding):
        raise CheckpointError(f"{path}: expected an output projection tied to the embedding, got one of its own")


def _architecture(settings: Mapping[str, Any], rows: int, final_norm: bool, path: Path) -> Architecture:
    """Shape from the settings; what the engine has no code for is refused by name."""
    width = settings.get("decoder_embed_dim")
    wanted = {
        "decoder_normalize_before": True, "activation_fn": "relu", "adaptive_input": False,
        "decoder_learned_pos": False, "no_token_positional_embeddings": False, "character_embeddings": False,
        "decoder_output_dim": width, "decoder_input_dim": width, "adaptive_softmax_cutoff": None,
        "no_scale_embedding": False, "layernorm_embedding": False, "base_layers": 0,
    }  # fmt: skip
    faults = [
        f"{name}: expected {value}, got {settings[name]}"
        for name, value in wanted.items()
        if name in settings and settings[name] != value
    ]
    shape = ("decoder_layers", "decoder_embed_dim", "decoder_ffn_embed_dim", "decoder_attention_heads")
    faults += [f"{name}: expected a number, found none" for name in shape if not isinstance(settings.get(name), int)]
    if faults:
        raise CheckpointError(f"{path}: expected a transformer_lm this engine can run: " + "; ".join(faults))
    layers, embed_dim, ffn_embed_dim, heads = (int(settings[name]) for name in shape)
    longest = settings.get("max_target_positions") or settings.get("tokens_per_sample") or 1024
    return Architecture(
        layers=layers,
        embed_dim=embed_dim,
        ffn_embed_dim=ffn_embed_dim,
        attention_heads=heads,
        vocab_size=rows,
        max_positions=int(longest),
        final_norm=final_norm,
    )


def _gathered(weights: dict[str, Tensor], architecture: Architecture, path: Path) -> dict[str, Tensor]:
    """fairseq's names to ours; what is missing or left over is named by fairseq's."""
    left = dict(weights)
    missing: list[str] = []

    def take(name: str) -> Tensor:
        if name not in left:
            missing.append(name)
            return torch.empty(0)
        return left.pop(name)

    tensors = {"embedding": take("decoder.embed_tokens.weight")}
    if architecture.final_norm:
        for kind in ("weight", "bias"):
            tensors[f"final_norm_{kind}"] = take(f"decoder.layer_norm.{kind}")
    for i in range(architecture.layers):
        old, new = f"decoder.layers.{i}", f"layers.{i}"
        for kind in ("weight", "bias"):
            qkv = [take(f"{old}.self_attn.{letter}_proj.{kind}") for letter in "qkv"]
            tensors[f"{new}.qkv_{kind}"] = torch.cat(qkv)
            tensors[f"{new}.out_{kind}"] = take(f"{old}.self_attn.out_proj.{kind}")
            tensors[f"{new}.attn_norm_{kind}"] = take(f"{old}.self_attn_layer_norm.{kind}")
            tensors[f"{new}.ffn_norm_{kind}"] = take(f"{old}.final_layer_norm.{kind}")
            tensors[f"{new}.fc1_{kind}"] = take(f"{old}.fc1.{kind}")
            tensors[f"{new}.fc2_{kind}"] = take(f"{old}.fc2.{kind}")
    if missing or left:
        raise CheckpointError(
            f"{path}: expected the weights of {architecture.layers} transformer_lm layers; "
            f"missing {', '.join(missing) or 'none'}; unexpected {', '.join(sorted(left)) or 'none'}"
        )
    return tensors
