"""The description of a unit LM: everything that decides which function its weights compute.

fairseq's `transformer_lm` is the case of the defaults (method.md, "The unit LM"): layer norm before each sublayer,
ReLU, sinusoidal positions, output projection tied to the embedding. The other fields are those in which causal LMs
in the `transformers` format differ.

L layers   D embedding size   F feed-forward size   H heads   G key/value heads   d head width   V vocabulary
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from sp_search.errors import CheckpointError
from sp_search.types import EOS, SEPARATOR, SPECIALS


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A causal transformer. Fields without a default are its shape; the defaults are fairseq's LM."""

    layers: int
    embed_dim: int
    ffn_embed_dim: int
    attention_heads: int
    vocab_size: int  # the embedding's rows; a dictionary may be padded up to it
    max_positions: int  # longest sequence the LM was made for, in units
    final_norm: bool = True
    sliding_window: int = 0  # 0: none; else what bounds max_positions: up to it, every row sees all before it

    norm: Literal["layer", "rms"] = "layer"
    norm_bias: bool = True  # whether norms have a bias beside their weight
    norm_eps: float = 1e-5
    norm_before: bool = True  # before each sublayer; False: behind its residual sum
    parallel: bool = False  # whether attention and feed-forward of a layer read the same input

    key_value_heads: int = 0  # 0: as many as heads; fewer, each shared by successive heads
    head_width: int = 0  # 0: embed_dim / attention_heads
    qkv_bias: bool = True
    out_bias: bool = True
    qk_norm: bool = False  # RMS norm of every query and key, before their rotation

    activation: Literal["relu", "gelu", "gelu_tanh", "silu"] = "relu"
    gated: bool = False  # whether the activation of one half of fc1's rows multiplies the other half
    ffn_bias: bool = True

    positions: Literal["sinusoidal", "learned", "rotary"] = "sinusoidal"
    rotary_theta: float = 10000.0
    rotary_width: int = 0  # leading dimensions of a head that are rotated; even
    prompts_take_positions: bool = False  # whether what follows a prompt of P rows begins P positions later
    scaled_embedding: bool = True  # whether tokens are multiplied by sqrt(D)

    token_width: int = 0  # of the embedding, projected to D on both sides; 0: D, without projections
    tied: bool = True  # whether the output projection is the embedding
    start: int = EOS  # dictionary id of the token in front of a source
    absent: tuple[int, ...] = ()  # special ids, ascending, for which the LM has no token

    def __post_init__(self) -> None:
        object.__setattr__(self, "absent", tuple(self.absent))  # JSON has lists
        if self.layers < 1:
            raise CheckpointError(f"unit LM: expected 1 or more layers, got {self.layers}")
        width, heads = self.embed_dim, self.attention_heads
        divides = bool(self.head_width) or (heads > 0 and width % heads == 0)
        if width < 4 or heads < 1 or not divides or (self.positions == "sinusoidal" and width % 2):
            raise CheckpointError(  # sinusoidal positions need two waves: 4
                f"unit LM: expected an even width of 4 or more, divisible by its heads, "
                f"got width {width} and {heads} heads"
            )
        if heads % self.kv_heads:
            raise CheckpointError(f"unit LM: expected key/value heads that divide {heads}, got {self.kv_heads}")
        if self.rotary_width % 2 or self.rotary_width > self.head_dim:
            raise CheckpointError(
                f"unit LM: expected an even number of rotated dimensions, at most {self.head_dim}, "
                f"got {self.rotary_width}"
            )

    @property
    def head_dim(self) -> int:
        """Width of one attention head, d."""
        return self.head_width or self.embed_dim // self.attention_heads

    @property
    def kv_heads(self) -> int:
        """Heads that have keys and values of their own, G."""
        return self.key_value_heads or self.attention_heads

    @property
    def query_width(self) -> int:
        """Width of the queries of all heads, H * d."""
        return self.attention_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of the keys of all heads, G * d; the same for values."""
        return self.kv_heads * self.head_dim

    @property
    def token_scale(self) -> float:
        """The factor of a token's embedding in the input of layer 0."""
        return math.sqrt(self.embed_dim) if self.scaled_embedding else 1.0

    @property
    def is_fairseqs(self) -> bool:
        """Whether fairseq's `transformer_lm` computes it."""
        shape = (
            "layers",
            "embed_dim",
            "ffn_embed_dim",
            "attention_heads",
            "vocab_size",
            "max_positions",
            "final_norm",
        )
        return self == Architecture(**{name: getattr(self, name) for name in shape})

    @property
    def why_no_longer(self) -> str:
        """What bounds its positions, for messages; "" if it was made for no more."""
        return " (its sliding window)" if self.sliding_window == self.max_positions else ""

    @property
    def is_rotary(self) -> bool:
        """Whether queries and keys are rotated by their positions."""
        return self.positions == "rotary"

    @property
    def has_plain_heads(self) -> bool:
        """Whether the projections of a row are its queries, keys and values, one of each for every head."""
        return not (self.is_rotary or self.qk_norm) and self.kv_heads == self.attention_heads

    @property
    def has_plain_feed_forward(self) -> bool:
        """Whether a layer ends in x + fc2(relu(fc1(layer_norm(x))))."""
        plain_norm = self.norm == "layer" and self.norm_eps == 1e-5 and self.norm_before
        return plain_norm and self.activation == "relu" and not (self.gated or self.parallel)

    @property
    def columns(self) -> int:
        """Columns of the logits: one for each dictionary id that has a token."""
        return self.vocab_size - len(self.absent)

    def column(self, index: int) -> int:
        """The column of the logits for a dictionary id. `<s>` has that of `</s>` where the LM has no token for it.

        For example, after a source of a SlamKit LM its end token is what can announce an answer.
        """
        if index == SEPARATOR and SEPARATOR in self.absent:
            index = EOS
        assert index not in self.absent
        return index - sum(special < index for special in self.absent)

    @property
    def first_unit_column(self) -> int:
        """The column of the first dictionary id behind the specials; the others follow in order."""
        return SPECIALS - len(self.absent)


def layer_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The name and shape of every weight of a layer."""
    d, f, width = architecture.embed_dim, architecture.ffn_embed_dim, architecture.head_dim
    rows, up = architecture.query_width + 2 * architecture.kv_width, f * (2 if architecture.gated else 1)
    norm_bias, qkv, out, ffn = (
        architecture.norm_bias, architecture.qkv_bias, architecture.out_bias, architecture.ffn_bias,
    )  # fmt: skip
    shapes: dict[str, tuple[tuple[int, ...], bool]] = {  # and whether it is there
        "attn_norm_weight": ((d,), True), "attn_norm_bias": ((d,), norm_bias),
        "qkv_weight": ((rows, d), True), "qkv_bias": ((rows,), qkv),
        "out_weight": ((d, architecture.query_width), True), "out_bias": ((d,), out),
        "ffn_norm_weight": ((d,), True), "ffn_norm_bias": ((d,), norm_bias),
        "fc1_weight": ((up, d), True), "fc1_bias": ((up,), ffn),
        "fc2_weight": ((d, f), True), "fc2_bias": ((d,), ffn),
        "query_norm_weight": ((width,), architecture.qk_norm), "key_norm_weight": ((width,), architecture.qk_norm),
    }  # fmt: skip
    return {name: shape for name, (shape, is_there) in shapes.items() if is_there}


def expected_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """The name and shape of every weight of a unit LM of this architecture."""
    d, tokens = architecture.embed_dim, architecture.token_width or architecture.embed_dim
    shapes: dict[str, tuple[int, ...]] = {"embedding": (architecture.vocab_size, tokens)}
    for i in range(architecture.layers):
        shapes |= {f"layers.{i}.{name}": shape for name, shape in layer_shapes(architecture).items()}
    if architecture.final_norm:
        shapes |= {"final_norm_weight": (d,)} | ({"final_norm_bias": (d,)} if architecture.norm_bias else {})
    if architecture.positions == "learned":
        shapes["position_table"] = (architecture.max_positions, d)
    if architecture.token_width:
        shapes |= {"project_in": (d, tokens), "project_out": (tokens, d)}
    if not architecture.tied:
        shapes["head"] = (architecture.columns, tokens)
    return shapes
