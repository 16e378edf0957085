"""What an encoder of `transformers` makes of samples: the arithmetic of its modules (`transformers_encoder.py`).

It follows transformers 5.24, `models/{hubert,wav2vec2,wavlm}/modeling_*.py`. A layer's frames are what the layer puts
out, before the norm that some models have behind their last one.

S samples   C channels   T frames   D features a frame   H heads   d head width
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sp_search.units.transformers_encoder import EncoderShape

if TYPE_CHECKING:
    from torch import Tensor


def encoder_frames(model: Any, shape: EncoderShape, audio: Tensor) -> Tensor:
    """(S,) samples to (T, D)."""
    import torch.nn.functional as F

    x = audio[None, None]
    for layer in model.feature_extractor.conv_layers:
        x = layer(x)  # (1, C, T)
    projection = model.feature_projection
    x = x.transpose(1, 2)
    x = projection.projection(projection.layer_norm(x) if "layer_norm" in projection else x)  # (1, T, D)
    marks = F.gelu(model.encoder.pos_conv_embed.conv(x.transpose(1, 2))).transpose(1, 2)
    x = x + marks[:, : x.shape[1]]  # an even width puts out a frame too many
    if not shape.do_stable_layer_norm:
        x = model.encoder.layer_norm(x)
    by_distance = _by_distance(model.encoder.layers, shape, x.shape[1])
    for layer in model.encoder.layers:
        x = _through(layer, shape, x, by_distance)
    frames: Tensor = x[0]
    return frames


def _through(layer: Any, shape: EncoderShape, x: Tensor, by_distance: Tensor | None) -> Tensor:
    """One layer, (1, T, D)."""
    if shape.do_stable_layer_norm:
        x = x + _attended(layer.attention, shape, layer.layer_norm(x), by_distance)
        return x + _fed_forward(layer.feed_forward, layer.final_layer_norm(x))
    x = layer.layer_norm(x + _attended(layer.attention, shape, x, by_distance))
    found: Tensor = layer.final_layer_norm(x + _fed_forward(layer.feed_forward, x))
    return found


def _fed_forward(part: Any, x: Tensor) -> Tensor:
    import torch.nn.functional as F

    found: Tensor = part.output_dense(F.gelu(part.intermediate_dense(x)))
    return found


def _attended(attention: Any, shape: EncoderShape, x: Tensor, by_distance: Tensor | None) -> Tensor:
    import torch.nn.functional as F

    def by_head(rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (shape.num_attention_heads, -1)).transpose(1, 2)  # (1, H, T, d)

    query, key, value = (by_head(part(x)) for part in (attention.q_proj, attention.k_proj, attention.v_proj))
    bias = None
    if by_distance is not None:
        halves = attention.gru_rel_pos_linear(by_head(x)).unflatten(-1, (2, 4)).sum(-1).sigmoid()  # (1, H, T, 2)
        gate = halves[..., :1] * (halves[..., 1:] * attention.gru_rel_pos_const - 1) + 2
        bias = gate * by_distance  # (1, H, T, T)
    found: Tensor = attention.out_proj(
        F.scaled_dot_product_attention(query, key, value, attn_mask=bias).transpose(1, 2).flatten(2)
    )
    return found


def _by_distance(layers: Any, shape: EncoderShape, frames: int) -> Tensor | None:
    """WavLM's bias by distance, (H, T, T), which its first layer has and each one gates (arXiv 2110.13900, III-A)."""
    import torch

    if shape.model_type != "wavlm":
        return None
    embedding = layers[0].attention.rel_attn_embed
    at = torch.arange(frames, device=embedding.weight.device)
    distance = at - at[:, None]
    half = shape.num_buckets // 2  # those of the right lie behind those of the left
    near = half // 2  # that many small distances have a bucket each; larger ones share, by the logarithm
    far = distance.abs()
    scale = (half - near) / math.log(shape.max_bucket_distance / near)
    wide = (near + (far.clamp_min(1) / near).log() * scale).long().clamp_max(half - 1)
    bias: Tensor = embedding(half * (distance > 0) + torch.where(far < near, far, wide)).permute(2, 0, 1)
    return bias
