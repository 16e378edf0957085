"""A recipe as fairseq's own settings: its task `language_modeling`, its model `transformer_lm`, its trainer.

Shape and optimizer follow the unit LMs of GSLM (arXiv 2102.01192), which the papers prompt: pre-norm, ReLU, tied
embeddings, one utterance a sequence, Adam with a warm-up and the inverse square root behind it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sp_search.pretrain.recipe import Recipe

NEVER = 10**9
LOG_EVERY = 10
"""Updates between two lines of fairseq's; ours are fewer."""


def fairseq_settings(recipe: Recipe, data: Path, save: Path, *, gpus: int, bfloat16: bool) -> Any:
    """fairseq's configuration, as `fairseq-hydra-train` would compose it.

    Args:
        recipe: shape and training.
        data: a folder as `write_databin` leaves it.
        save: the folder of the checkpoints; training goes on from `checkpoint_last.pt` in it.
        gpus: devices to train on; 0 = the CPU.
        bfloat16: weights and activations in bfloat16, with the optimizer's copy in float32.
    """
    from fairseq.dataclass.configs import FairseqConfig
    from fairseq.dataclass.initialize import add_defaults
    from omegaconf import OmegaConf

    devices = max(1, gpus)
    ours = {
        "common": {
            "seed": recipe.seed, "cpu": gpus == 0, "bf16": bfloat16, "log_format": "json", "log_interval": LOG_EVERY,
        },
        "distributed_training": {"distributed_world_size": devices},
        "dataset": {
            "max_tokens": recipe.pass_tokens, "num_workers": 0,
            "required_batch_size_multiple": 1,  # else a last batch that is no multiple, the longest, is left out
            "update_epoch_batch_itr": True,  # else an epoch's batches depend on the epoch that training went on from
            "validate_interval": NEVER, "validate_interval_updates": recipe.valid_every,
        },
        "optimization": {
            "max_update": recipe.updates, "lr": [recipe.lr], "clip_norm": 1.0,
            "update_freq": [recipe.passes(devices)],
        },
        "checkpoint": {
            "save_dir": str(save), "save_interval": NEVER, "save_interval_updates": recipe.valid_every,
            "keep_interval_updates": 1,
        },
        "task": {
            "_name": "language_modeling", "data": str(data), "sample_break_mode": "eos",
            "tokens_per_sample": recipe.max_positions, "max_target_positions": recipe.max_positions,
        },
        "model": _model(recipe),
        "criterion": {"_name": "cross_entropy"},
        "optimizer": {"_name": "adam", "adam_betas": "(0.9, 0.98)", "weight_decay": 0.01},
        "lr_scheduler": {"_name": "inverse_sqrt", "warmup_updates": recipe.warmup_updates},
    }  # fmt: skip
    cfg = OmegaConf.merge(OmegaConf.structured(FairseqConfig), ours)
    add_defaults(cfg)
    cfg = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True, enum_to_str=True))
    OmegaConf.set_struct(cfg, True)
    return cfg


def _model(recipe: Recipe) -> dict[str, Any]:
    return {
        "_name": "transformer_lm",
        "decoder_layers": recipe.layers,
        "decoder_embed_dim": recipe.embed_dim,
        "decoder_input_dim": recipe.embed_dim,
        "decoder_output_dim": recipe.embed_dim,
        "decoder_ffn_embed_dim": recipe.ffn_embed_dim,
        "decoder_attention_heads": recipe.attention_heads,
        "decoder_normalize_before": True,  # the dataclass says False, which no published unit LM is
        "activation_fn": "relu",
        "share_decoder_input_output_embed": True,
        "dropout": recipe.dropout,
        "attention_dropout": recipe.dropout,
    }
