"""fairseq's own training, from its own configuration, in as many processes as there are GPUs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sp_search.errors import ConfigError
from sp_search.pretrain.progress import Progress, Shown
from sp_search.units.fairseq_file import allowed_objects

BARS = "fairseq.logging.progress_bar"
"""The logger that statistics come from."""


def train(cfg: Any, log: Path, shown: Shown) -> None:
    """Train to `cfg.optimization.max_update`, from `checkpoint_last.pt` where there is one.

    Args:
        cfg: fairseq's configuration.
        log: gets all that fairseq says.
        shown: where people see the progress; with several GPUs it goes to a process of its own.

    Raises:
        ConfigError: the loss became infinite.
    """
    from fairseq.distributed.utils import call_main

    try:
        call_main(cfg, train_here, log=log, shown=shown)
    except FloatingPointError as error:
        raise ConfigError(
            f"lr: expected one that training survives, got {cfg.optimization.lr[0]}: {error}; give a smaller one, or "
            f"more warmup_updates, and another folder with to="
        ) from error


def train_here(cfg: Any, log: Path, shown: Shown) -> None:
    """Train in this process, one of a group or the only one."""
    is_first = cfg.distributed_training.distributed_rank == 0
    with _logged(log, Progress(cfg.optimization.max_update, shown), logging.INFO if is_first else logging.WARNING):
        from fairseq import checkpoint_utils
        from fairseq.distributed.utils import _TensorPlaceholder
        from fairseq_cli.train import main

        vars(checkpoint_utils.save_checkpoint).pop("best", None)  # of an earlier training in this process
        # a checkpoint goes to the other processes as a pickle, its settings being OmegaConf's
        with torch.serialization.safe_globals([*allowed_objects(), _TensorPlaceholder]):
            main(cfg)


@contextmanager
def _logged(log: Path, progress: logging.Handler, level: int) -> Iterator[None]:
    """All logging and warnings into a file, with the statistics to `progress` besides.

    `fairseq_cli.train` would set logging to stdout up as it is imported, unless there is a handler already.
    """
    root, fairseq, bars = logging.getLogger(), logging.getLogger("fairseq"), logging.getLogger(BARS)
    file, before = logging.FileHandler(log, encoding="utf-8"), (root.level, fairseq.level)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(file)
    root.setLevel(level)
    fairseq.setLevel(level)  # a speech encoder has quieted it in its process
    bars.addHandler(progress)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        bars.removeHandler(progress)
        progress.close()
        root.setLevel(before[0])
        fairseq.setLevel(before[1])
        root.removeHandler(file)
        file.close()
