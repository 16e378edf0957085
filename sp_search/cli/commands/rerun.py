"""Train again what a search trained, and say how far the numbers are the same; prints one JSON.

Without prompt= the whole training of a study is made again, worker by worker, call by call, with every trial beside
those it had: `differ` lists the reports that are not the same to the last digit, and the exit code is 1 if there are
any. trial=N makes one trial's training again, with the trials beside it. On the same kind of device and with as many
threads all are the same. It takes about as long as the search did.

prompt= names an exported folder: each of its members is trained alone, on the very batches it saw. Its sums are
rounded in another order than beside other trials. In float32 the tensors differ by some millionths; in bfloat16
differences grow over the training, up to what another seed would come to. See `largest_difference`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sp_search.cli.wiring.factories import recipe_of
from sp_search.config import Settings
from sp_search.engine.trial.checkpoint import read_state
from sp_search.errors import ConfigError
from sp_search.export.folder import task_of
from sp_search.export.members import tensors_of
from sp_search.export.predictor import check_partner, trained_in
from sp_search.prompts.file import load_prompt
from sp_search.search.run.replay import replay, summed
from sp_search.search.study.contract import BEGUN_AS
from sp_search.search.study.study import load_study
from sp_search.search.workers.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class RerunSettings(Settings):
    """What to train again."""

    prompt: Path | None = None  # an exported folder; null = the study
    trial: int | None = None  # of the study; null = all, confirm runs too

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt is not None and self.trial is not None:
            raise ConfigError("trial: expected a trial of a study or prompt=, got both")


def run(config: RerunSettings) -> int:
    """Print what came out."""
    result = _study(config) if config.prompt is None else _prompt(config, config.prompt)
    print(json.dumps(result, indent=2))
    return int(bool(result.get("differ")))


def _study(config: RerunSettings) -> dict[str, Any]:
    """All reports of a study, or of one of its trials, made again."""
    folder = config.runs / config.study
    begun = load_study(config.study, config.cluster.storage, folder).user_attrs.get(BEGUN_AS, {})
    taken = {name: begun[name] for name in ("dtype", "batch_size", "chunk_updates", "valid_sample") if name in begun}
    recipe = replace(recipe_of(config), **taken, stream_seed=begun.get("seed", config.schedule.seed))
    parts = recipe.parts(*recipe.data())
    for key, got in (("lm", parts.lm.fingerprint), ("data", parts.data.corpus.fingerprint)):
        check_partner(folder, key, begun.get(f"{key}_fingerprint", got), got)

    def make(sizes: Mapping[str, Any]) -> Trainer:
        gib = sizes["source_cache_bytes"] / 2**30
        threads = {"threads": sizes["threads"], "tokens_per_pass": sizes["tokens_per_pass"], "trunk_cache_gib": gib}
        return replace(recipe, **threads)(parts)

    with tempfile.TemporaryDirectory() as states:
        found = list(replay(folder / "workers", make, Path(states), config.trial))
    torch.set_num_threads(recipe.threads)
    return {"study": config.study, "trial": config.trial, "dtype": recipe.dtype, **summed(found)}


def _prompt(config: RerunSettings, prompt: Path) -> dict[str, Any]:
    """The members of an exported folder, each trained alone, beside what was exported."""
    tensors, document = load_prompt(prompt)
    training = document["training"]
    batches = {name: training[name] for name in ("batch_size", "stream_seed")}
    recipe = replace(recipe_of(config), task=task_of(document), **batches)
    if config.engine.dtype == "auto":
        recipe = replace(recipe, dtype=trained_in(document))
    if config.engine.tokens_per_pass is None:  # that of the first run: micro-batches of another size round otherwise
        recipe = replace(recipe, tokens_per_pass=document["facts"].get("tokens_per_pass"))
    trainer = recipe()
    check_partner(prompt, "LM", document["lm"]["fingerprint"], trainer.lm_fingerprint)
    check_partner(prompt, "data", document["data"]["fingerprint"], trainer.data_fingerprint)
    members = document["members"]
    differences = []
    for i, member in enumerate(members):
        trainer.add(i, member["params"], seed=member["seed"], budget=member["budget"])
        trainer.retrain(i, member["segments"])
        with tempfile.TemporaryDirectory() as folder:
            trainer.save(i, Path(folder))
            again = read_state(Path(folder))["tensors"]
        exported = tensors_of(tensors, i)
        differences.append(max(float((again[name] - tensor).abs().max()) for name, tensor in exported.items()))
    shares = {i: member["share"] for i, member in enumerate(members)}
    return {
        "members": [
            {
                "trial": member["trial"],
                "seed": member["seed"],
                "utterances": sum(count for _, count in member["segments"]) * training["batch_size"],
                "largest_difference": difference,
            }
            for member, difference in zip(members, differences, strict=True)
        ],
        "tokens_per_pass": trainer.facts(0)["tokens_per_pass"],
        "again": {split: trainer.measure(shares, split)["metrics"] for split in ("valid", "test")},
        "exported": document["metrics"],
    }
