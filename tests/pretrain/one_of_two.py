"""One of two processes that train together, as two GPUs would.

Only what needs a GPU is another way: gloo carries the gradients, through fairseq's wrapper that can do without one.
"""

import os
from pathlib import Path

import torch

from sp_search.pretrain.fairseq_settings import fairseq_settings
from sp_search.pretrain.training import train
from tests.pretrain.counting import Told, recipe


def train_as(rank: int, folder: Path, port: int, updates: int) -> None:
    """What it tells goes to `RANK.told`, what fairseq says to `RANK.log`."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    training = folder / "lm" / "training"
    asked = recipe(dropout=0.0, updates=updates)
    cfg = fairseq_settings(asked, training / "data-bin", folder / "two", gpus=0, bfloat16=False)
    group = cfg.distributed_training
    group.distributed_world_size, group.distributed_rank, group.device_id = 2, rank, rank
    group.distributed_init_method = f"tcp://127.0.0.1:{port}"
    group.distributed_no_spawn = True
    group.distributed_backend, group.ddp_backend = "gloo", "legacy_ddp"
    cfg.optimization.update_freq = [asked.passes(2)]
    with (folder / f"{rank}.told").open("w") as told:
        train(cfg, folder / f"{rank}.log", Told(lambda line: print(line, file=told, flush=True)))
