"""Architectures that are not fairseq's: each has what the others lack."""

from typing import Any

from sp_search.lm.unit_lm import UnitLM, random_lm
from sp_search.types import SPECIALS
from tests.tiny import UNITS, tiny_architecture

ROTARY: dict[str, Any] = dict(
    norm="rms", norm_bias=False, norm_eps=1e-6, key_value_heads=2, attention_heads=4, head_width=6, out_bias=False,
    qk_norm=True, activation="silu", gated=True, ffn_bias=False, positions="rotary", rotary_width=6,
    prompts_take_positions=True, scaled_embedding=False, tied=False, absent=(0, 3), max_positions=64,
)  # fmt: skip
LEARNED: dict[str, Any] = dict(
    norm_before=False, final_norm=False, positions="learned", prompts_take_positions=True, scaled_embedding=False,
    token_width=10, absent=(0, 1, 3), start=SPECIALS + UNITS, vocab_size=SPECIALS + UNITS + 1, max_positions=64,
)  # fmt: skip
PARALLEL: dict[str, Any] = dict(
    parallel=True, activation="gelu_tanh", positions="rotary", rotary_width=2, rotary_theta=100.0,
    prompts_take_positions=True, scaled_embedding=False, absent=(0, 3), max_positions=64,
)  # fmt: skip
OTHERS = {"rotary, gated, shared heads": ROTARY, "learned, norm behind": LEARNED, "parallel": PARALLEL}


def other_lm(shape: dict[str, Any], seed: int = 0) -> UnitLM:
    return random_lm(tiny_architecture(**shape), seed)
