"""fairseq's own language model on tiny random weights, and its checkpoints in both layouts.

Importing fairseq takes seconds; only tests that need the original implementation import this module.
"""

from argparse import Namespace
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from fairseq.data import Dictionary
from fairseq.models.transformer_lm import TransformerLanguageModel, base_lm_architecture
from torch import Tensor

from sp_search.types import EOS, SEPARATOR


def fairseq_dictionary(units: int, padding_factor: int = 1) -> Dictionary:
    dictionary = Dictionary()
    for unit in range(units):
        dictionary.add_symbol(str(unit))
    dictionary.pad_to_multiple_(padding_factor)
    return dictionary


def fairseq_args(**changes: Any) -> Namespace:
    """The papers' unit LM, smaller; a Namespace as an old checkpoint holds it."""
    args = Namespace(
        decoder_layers=2,
        decoder_embed_dim=16,
        decoder_output_dim=16,
        decoder_input_dim=16,
        decoder_ffn_embed_dim=24,
        decoder_attention_heads=2,
        decoder_normalize_before=True,
        share_decoder_input_output_embed=True,
        dropout=0.1,
        attention_dropout=0.1,
        tokens_per_sample=64,
        max_target_positions=64,
        add_bos_token=False,
    )
    for name, value in changes.items():
        setattr(args, name, value)
    base_lm_architecture(args)
    return args


def fairseq_lm(args: Namespace, dictionary: Dictionary, seed: int) -> TransformerLanguageModel:
    """A model in evaluation mode whose every weight is random: fairseq itself starts norms and biases at 1 and 0."""
    torch.manual_seed(seed)
    task = SimpleNamespace(source_dictionary=dictionary, target_dictionary=dictionary)
    model = TransformerLanguageModel.build_model(args, task).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = torch.randn(weight.shape, generator=draw)
            if weight.dim() == 1:
                weight.copy_(0.1 * noise + (1.0 if name.endswith("layer_norm.weight") else 0.0))
            else:
                weight.copy_(noise / weight.shape[-1] ** 0.5)
        model.decoder.embed_tokens.weight[dictionary.pad()] = 0
    return model


@torch.no_grad()
def fairseq_logits(model: TransformerLanguageModel, source: Sequence[int], answer: Sequence[int]) -> Tensor:
    """Logits (N + M + 2, V) of `</s> source <s> answer`."""
    return model(torch.tensor([[EOS, *source, SEPARATOR, *answer]]))[0][0]
