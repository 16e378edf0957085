"""HuBERT, wav2vec 2.0 and WavLM as `transformers` saves them: their settings and weights, up to a layer.

Names follow transformers 5.24, `models/{hubert,wav2vec2,wavlm}/modeling_*.py`. `transformers` is not imported, and
torch only when a model is made: workers that need none do without.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from sp_search.errors import CheckpointError
from sp_search.units.transformers_folder import CONFIG, read_json, read_weights, unreadable_parts, weight_files

if TYPE_CHECKING:
    from torch import Tensor, nn

BEFORE = re.compile(r"^(hubert|wav2vec2|wavlm)\.")
"""What names begin with where the model was saved with a head."""
WEIGHT_NORM = "encoder.pos_conv_embed.conv."
_NEVER = {
    "conv_pos_batch_norm": "a batch norm before its positions",
    "adapter_attn_dim": "adapters in its layers",
    "use_weighted_layer_sum": "a weighted sum of its layers",
}


@dataclass(frozen=True, kw_only=True)
class EncoderShape:
    """The settings of a folder's config.json; what it leaves out has the default of `transformers`."""

    model_type: str
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5
    feat_proj_layer_norm: bool = True
    feat_extract_norm: str = "group"  # group: of the first convolution over time; layer: of each, frame by frame
    feat_extract_activation: str = "gelu"
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    do_stable_layer_norm: bool = False  # whether norms stand before each part of a layer
    num_buckets: int = 320  # wavlm: of distances
    max_bucket_distance: int = 800  # wavlm

    @classmethod
    def of(cls, folder: Path, model_type: str) -> EncoderShape:
        """Read it.

        Raises:
            CheckpointError: the config is bad, of another model type, or says something that is not computed here.
        """
        place = folder / CONFIG
        found = read_json(place)
        faults = unreadable_parts(found, _NEVER)
        if found.get("model_type") != model_type:
            faults.append(f"model_type {found.get('model_type')!r}")
        known = {field.name: found[field.name] for field in fields(cls) if found.get(field.name) is not None}
        known |= {name: tuple(known[name]) for name in ("conv_dim", "conv_stride", "conv_kernel") if name in known}
        faults += [
            f"{name} {known[name]!r}"
            for name in ("hidden_act", "feat_extract_activation")
            if known.get(name, "gelu") != "gelu"
        ]
        if faults:
            raise CheckpointError(
                f"{place}: expected a plain {model_type} encoder with gelu, got {'; '.join(faults)}"
            )
        return cls(**known)


def load_encoder(folder: Path, model_type: str, layer: int) -> tuple[nn.ModuleDict, EncoderShape]:
    """The modules of a folder's encoder up to its `layer`-th layer, float32, by the folder's own names.

    Raises:
        CheckpointError: as `EncoderShape.of`, `weight_files` and `read_weights`, or it has fewer layers, or weights
            are missing or of another shape.
    """
    shape = EncoderShape.of(folder, model_type)
    if layer > shape.num_hidden_layers:
        raise CheckpointError(
            f"{folder}: expected an encoder of {layer} layers or more for that layer, got {shape.num_hidden_layers}"
        )
    model = _modules(shape, layer)
    wanted, named = model.state_dict(), _renamed(read_weights(weight_files(folder)))
    missing = [name for name in wanted if name not in named]
    faults = [f"missing {', '.join(missing[:5])}"] if missing else []
    faults += [
        f"{name}: expected shape {tuple(tensor.shape)}, got {tuple(named[name].shape)}"
        for name, tensor in wanted.items()
        if name in named and named[name].shape != tensor.shape
    ]
    if faults:
        raise CheckpointError(f"{folder}: expected the weights of a {model_type} encoder; {'; '.join(faults)}")
    model.load_state_dict({name: named[name] for name in wanted})
    return model, shape


def _modules(shape: EncoderShape, layers: int) -> nn.ModuleDict:
    from torch import nn

    size, eps, width = shape.hidden_size, shape.layer_norm_eps, shape.num_conv_pos_embeddings
    projection: dict[str, nn.Module] = {"projection": nn.Linear(shape.conv_dim[-1], size)}
    if shape.feat_proj_layer_norm or shape.model_type != "hubert":
        projection["layer_norm"] = nn.LayerNorm(shape.conv_dim[-1], eps=eps)
    conv = nn.Conv1d(size, size, width, padding=width // 2, groups=shape.num_conv_pos_embedding_groups)
    encoder: dict[str, nn.Module] = {
        "pos_conv_embed": nn.ModuleDict({"conv": conv}),
        "layers": nn.ModuleList(_layer_modules(shape, is_first=number == 0) for number in range(layers)),
    }
    if not shape.do_stable_layer_norm:
        encoder["layer_norm"] = nn.LayerNorm(size, eps=eps)
    return nn.ModuleDict(
        {
            "feature_extractor": nn.ModuleDict({"conv_layers": _convolutions(shape)}),
            "feature_projection": nn.ModuleDict(projection),
            "encoder": nn.ModuleDict(encoder),
        }
    )


def _convolutions(shape: EncoderShape) -> nn.ModuleList:
    """They lie as fairseq's do: convolution, dropout, norm, activation."""
    from fairseq.modules import TransposeLast
    from torch import nn

    layers = []
    sizes = zip((1, *shape.conv_dim), shape.conv_dim, shape.conv_kernel, shape.conv_stride, strict=False)
    for number, (before, behind, width, hop) in enumerate(sizes):
        norm: nn.Module = nn.Identity()
        if shape.feat_extract_norm == "layer":  # of each frame, over its channels
            norm = nn.Sequential(TransposeLast(), nn.LayerNorm(behind), TransposeLast())
        elif number == 0:
            norm = nn.GroupNorm(behind, behind)
        conv = nn.Conv1d(before, behind, width, hop, bias=shape.conv_bias)
        layers.append(nn.Sequential(conv, nn.Identity(), norm, nn.GELU()))
    return nn.ModuleList(layers)


def _layer_modules(shape: EncoderShape, *, is_first: bool) -> nn.ModuleDict:
    import torch
    from torch import nn

    size, inner, heads = shape.hidden_size, shape.intermediate_size, shape.num_attention_heads
    names = ("q_proj", "k_proj", "v_proj", "out_proj")
    attention = nn.ModuleDict({name: nn.Linear(size, size) for name in names})
    if shape.model_type == "wavlm":
        attention["gru_rel_pos_linear"] = nn.Linear(size // heads, 8)
        attention.register_parameter("gru_rel_pos_const", nn.Parameter(torch.ones(1, heads, 1, 1)))
        if is_first:
            attention["rel_attn_embed"] = nn.Embedding(shape.num_buckets, heads)
    return nn.ModuleDict(
        {
            "attention": attention,
            "layer_norm": nn.LayerNorm(size, eps=shape.layer_norm_eps),
            "feed_forward": nn.ModuleDict(
                {"intermediate_dense": nn.Linear(size, inner), "output_dense": nn.Linear(inner, size)}
            ),
            "final_layer_norm": nn.LayerNorm(size, eps=shape.layer_norm_eps),
        }
    )


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The folder's names to those of the modules here, the weight norm of the positions multiplied out."""
    named = {BEFORE.sub("", name): tensor for name, tensor in weights.items()}
    named = {re.sub(r"(conv_layers\.\d+)\.conv\.", r"\1.0.", name): tensor for name, tensor in named.items()}
    of_norm = r"\1.2.1." if any(".1.layer_norm." in name for name in named if "conv_layers" in name) else r"\1.2."
    named = {re.sub(r"(conv_layers\.\d+)\.layer_norm\.", of_norm, name): tensor for name, tensor in named.items()}
    for size, direction in (("parametrizations.weight.original0", "parametrizations.weight.original1"),
                            ("weight_g", "weight_v")):  # fmt: skip
        if WEIGHT_NORM + size in named and WEIGHT_NORM + direction in named:
            ray = named[WEIGHT_NORM + direction]
            named[f"{WEIGHT_NORM}weight"] = named[WEIGHT_NORM + size] * ray / ray.norm(dim=(0, 1), keepdim=True)
    return named
