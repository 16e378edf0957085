"""Trains a unit LM in the shape of Qwen2 on what the demo's own LM was trained on, with transformers.

    python -m tests.qwen2_demo FOLDER
    sp-search search task=intent lm=FOLDER

It has the layers, width, heads, recipe and number of updates of the demo's LM; half as many key/value heads, a gated
feed-forward of two thirds of the width, rotary positions, RMSNorm. Unit u is token u + 4, as `offset` in its
config.json says.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from sp_search.demo.build import DEMO, DemoSettings
from sp_search.demo.corpus import plan, speak
from sp_search.demo.unit_lm import fit
from sp_search.host import cores
from sp_search.types import EOS, PAD, SPECIALS
from sp_search.units.quantizer import Quantizer

ASSETS = Path(__file__).parents[1] / "sp_search" / "demo" / "assets"


def qwen2(settings: DemoSettings) -> Qwen2ForCausalLM:
    """The model, with random weights."""
    lm = settings.lm
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=SPECIALS + settings.units,
            hidden_size=lm.embed_dim,
            intermediate_size=8 * lm.embed_dim // 3,
            num_hidden_layers=lm.layers,
            num_attention_heads=lm.attention_heads,
            num_key_value_heads=lm.attention_heads // 2,
            max_position_embeddings=lm.max_positions,
            tie_word_embeddings=True,
            bos_token_id=EOS,
            eos_token_id=EOS,
            pad_token_id=PAD,
            attention_dropout=0.0,
            offset=SPECIALS,
        )
    )


class Logits(nn.Module):
    """A model of transformers as the demo's training takes one."""

    def __init__(self, model: Qwen2ForCausalLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> tuple[Tensor, Any]:
        return self.model(ids).logits, None


def main(folder: Path, settings: DemoSettings = DEMO) -> float:
    """Train, and save in the transformers format; returns the perplexity on valid's commands."""
    began = time.perf_counter()
    quantizer = Quantizer.load(ASSETS / "quantizer.safetensors")
    planned = [plan(part, settings.utterances[part], settings.seed) for part in ("pool", "valid")]
    heard, held_out = ([ids + SPECIALS for ids in speak(one, quantizer.units, cores())] for one in planned)
    torch.manual_seed(settings.lm.seed)
    model = qwen2(settings)
    print(
        f"{time.perf_counter() - began:.0f} s: {model.num_parameters():,} weights, {len(heard)} utterances",
        flush=True,
    )
    reached = fit(Logits(model), settings.lm, heard, held_out, lambda line: print(line, flush=True))
    model.save_pretrained(folder)
    return reached


if __name__ == "__main__":
    print(f"perplexity {main(Path(sys.argv[1])):.3f}")
