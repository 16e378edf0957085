"""Train a unit LM on units of one's own, with fairseq's trainer; started again, it goes on to `updates`.

corpus= is a file of utterances in units, labelled or not, in any form that a search takes, or a folder with a train
and a valid file of them, as sp-search prepare leaves it. to= is the folder that a search is then given: lm=FOLDER.
Units are numbers, unless dictionary= names a dict.txt. The shape is that of the published unit LMs, 151 million
weights, for GPUs, of which it takes all; layers=4 embed_dim=128 ffn_embed_dim=512 attention_heads=4 suits a CPU.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict

import torch

from sp_search.cli.pretraining import PretrainSettings, gpus_of, recipe_of, source_of
from sp_search.pretrain.pretrain import pretrain
from sp_search.tracking.provenance import versions


def run(config: PretrainSettings) -> int:
    """Train, and print where the folder is."""
    torch.set_num_threads(config.engine.threads or os.cpu_count() or 1)
    recipe, gpus, dtype = recipe_of(config), gpus_of(config), config.engine.dtype
    done = pretrain(
        recipe,
        source_of(config),
        config.to,
        gpus=gpus,
        bfloat16=dtype == "bfloat16" or (dtype == "auto" and gpus > 0),
        tell=_tell,
    )
    meta = {"corpus": str(config.corpus), "recipe": asdict(recipe), **asdict(done), "versions": versions()}
    (config.to / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    print(config.to)
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
