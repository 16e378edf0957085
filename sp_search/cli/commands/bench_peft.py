"""Measure trials through PEFT beside packs of trials in the engine, on the same LM; prints a JSON line for each.

Both sides train prompts on the same batches with as many threads. PEFT trains one trial at a time: prompt tuning with
depth=0, else prefix tuning in all layers, also beside position=infix or depth=layers/2, which it does not have.
Beside float32 it computes in float32; beside bfloat16 also under autocast and with weights in bfloat16. Each is
measured with both kinds of attention, and the packs are compared with the fastest of them, in turns. ratio is the
utterances per second of all trials of a pack, divided by PEFT's, and cpu_ratio the same by processor time.
peak_memory_bytes is that of one process.

search=true measures whole searches of schedule.trials trials, of which the learning rate alone is drawn:
`sp-search search`, and a plain Ray Tune search around PEFT with one trial a worker. ratio is the plain one's time
divided by ours. Ours also confirms the winner once, tests it, fits the rivals without an LM and writes its report.

The LMs have random weights (TYPE:LAYERSxWIDTHxHEADS, and xKEY_VALUE_HEADS if they are fewer), or lie in
folders. It needs transformers and peft.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from sp_search.bench.peft.plain_tune import PeftSearch
from sp_search.bench.peft.search import measured_searches
from sp_search.bench.peft.speed import fastest_way, measured_packs, rival_params
from sp_search.bench.peft.transformers_lm import architecture_in, lm_folder
from sp_search.bench.peft.trial import PeftRecipe
from sp_search.cli.settings.reads import OF_RECIPE
from sp_search.cli.wiring.factories import only_trial, recipe_of
from sp_search.config import Settings, below_one, not_counts, refuse
from sp_search.engine.runtime.device import dtype_name, pick_device, pick_dtype
from sp_search.engine.train.factory import TrainerSpec
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.errors import ConfigError
from sp_search.host import processor
from sp_search.types import Params

OF_BOTH = ("trials", "budget", "grace", "reduction_factor", "batch_size", "valid_sample")
"""What both searches take from the schedule."""
READS = (*OF_RECIPE, "space", *(f"schedule.{name}" for name in OF_BOTH))
EXAMPLE = "sp-search bench peft lms=qwen2:4x256x4 batch_size=8 dtype=float32"
STARTS_FROM = (
    "space=paper",
    "prompt_length=20",
    "space.dropout=0",
    "space.loss_scale=scored",
    "trials=8",
    "schedule.budget=1600",
    "schedule.grace=400",
)


@dataclass(frozen=True, kw_only=True)
class BenchPeftSettings(Settings):
    """What to measure."""

    lms: str = "qwen2:4x256x4 qwen2:24x896x14x2"  # shapes of random weights or folders, with a blank between two
    packs: str = "1 8 16"  # trials of a pack, with a blank between two
    updates: int = 4  # in a stretch
    stretches: int = 3  # timed; the median counts
    search: bool = False  # whole searches of `trials` trials, in place of packs

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse(below_one(self, "updates", "stretches") + not_counts("packs", self.packs))


def run(config: BenchPeftSettings) -> int:
    """Measure, and print the lines."""
    if missing := [name for name in ("transformers", "peft") if find_spec(name) is None]:
        raise ConfigError(
            f"bench peft: expected transformers and peft, found no {' and no '.join(missing)}; "
            "install them with: pip install transformers peft"
        )
    device = pick_device(config.engine.device)
    recipe = recipe_of(config)
    recipe = replace(recipe, chunk_updates=config.updates, dtype=dtype_name(pick_dtype(recipe.dtype, device)))
    with tempfile.TemporaryDirectory() as scratch:
        for name in config.lms.split():
            folder = lm_folder(name, Path(scratch))
            architecture = architecture_in(folder, recipe.lm_tokens)
            params = only_trial(config, architecture)
            prompt = TrialHParams.from_params(params).prompt
            about = {
                "lm": name,
                "processor": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
                **{part: getattr(prompt, part) for part in ("prompt_length", "depth", "side", "position")},
                "batch_size": recipe.batch_size,
            }
            own = replace(recipe, lm_name=name, lm_path=folder, cache=Path(scratch) / "cache")
            rival = _rival(own, folder, device.type)
            if config.search:
                lines = iter([_searched(config, own, rival, params, architecture.layers, Path(scratch))])
            else:
                packs = [int(size) for size in config.packs.split()]
                lines = measured_packs(own, rival, params, architecture.layers, packs, config.stretches)
            for line in lines:
                print(json.dumps(about | line), flush=True)
    return 0


def _rival(recipe: TrainerSpec, folder: Path, device: str) -> PeftRecipe:
    return PeftRecipe(
        folder=folder,
        tokens=recipe.lm_tokens,
        data_path=recipe.data_path,
        train_utterances=recipe.train_utterances,
        task=recipe.task,
        batch_size=recipe.batch_size,
        stream_seed=recipe.stream_seed,
        threads=recipe.threads,
        device=device,
        arithmetic="float32",
        attention="eager",
    )


def _searched(
    config: BenchPeftSettings, recipe: TrainerSpec, rival: PeftRecipe, params: Params, layers: int, scratch: Path
) -> dict[str, Any]:
    """The line of two searches."""
    schedule, theirs = config.schedule, rival_params(params, layers)
    asked = PeftSearch(
        recipe=fastest_way(rival, recipe.dtype, theirs, config.updates, config.stretches),
        params=theirs,
        trials=schedule.trials,
        budget=schedule.budget,
        grace=schedule.grace,
        reduction_factor=schedule.reduction_factor,
        valid_sample=schedule.valid_sample,
    )
    low, high = asked.rates
    space = scratch / f"space-{len(list(scratch.iterdir()))}.yaml"
    space.write_text(json.dumps({**params, "lr": {"float": [low, high], "log": True}}))
    words = {
        "task": config.task.name, "lm": rival.folder, "data": config.data.path or config.data.name, "space": space,
        "train_utterances": recipe.train_utterances, "runs": scratch / space.stem, "cache": recipe.cache,
        "engine.dtype": recipe.dtype, "engine.device": rival.device, "engine.threads": recipe.threads,
        **{f"schedule.{name}": getattr(schedule, name) for name in OF_BOTH}, "schedule.first_trials": "[]",
        "schedule.confirm.top": 1, "schedule.confirm.seeds": 1, "schedule.final.seeds": 0, "winner.members": 1,
        "quiet": "true",
    }  # fmt: skip
    return measured_searches(asked, [f"{name}={value}" for name, value in words.items()])
