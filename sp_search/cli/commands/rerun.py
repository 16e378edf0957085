"""Repeat the training of a search and compare the numbers; prints one JSON object.

Without prompt=, the whole training of a study is repeated, worker by worker and call by call, with the same trials at
once. `differ` lists the reports that are not equal to the last digit; the exit code is 1 if there are any. trial=N
repeats one trial, together with the trials that shared its worker. The task and its answers are those of the study;
lm= and data= are typed as for the search. On the same kind of device and with the same number of threads all reports
are equal. It takes about as long as the search.

prompt= names an exported folder: each of its members is trained alone, on the very batches it saw. Its sums are
rounded in another order than beside other trials. In float32 the tensors differ by some millionths; in bfloat16
differences grow over the training, up to what another seed would come to. See `largest_difference`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sp_search.cli.settings.reads import OF_NAME, OF_RECIPE
from sp_search.cli.wiring.factories import recipe_of, recipe_of_study
from sp_search.config import Settings
from sp_search.engine.train.factory import TrainerSpec
from sp_search.engine.train.trainer import MultiTrialTrainer
from sp_search.engine.trial.checkpoint import read_state
from sp_search.engine.trial.task_data import TaskData
from sp_search.errors import ConfigError
from sp_search.export.document import check_training, load_export, trained_in
from sp_search.export.folder import lm_tokens_in, task_of
from sp_search.export.members import tensors_of
from sp_search.export.predictor import check_partner
from sp_search.lm.unit_tokens import agreed_tokens
from sp_search.rivals.settings import is_rival
from sp_search.rivals.trainer import RivalTrainer
from sp_search.search.run.replay import replay, summed
from sp_search.search.study.contract import BEGUN_AS
from sp_search.search.study.study import load_study
from sp_search.search.workers.trainer import Trainer

READS = (*OF_NAME, *OF_RECIPE, "cluster.storage")
EXAMPLE = "sp-search rerun study=intent-demo-demo trial=3"


@dataclass(frozen=True, kw_only=True)
class RerunSettings(Settings):
    """What to repeat."""

    prompt: Path | None = None  # an exported folder; null = the study
    trial: int | None = None  # one trial of the study; null = all of its training

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt is not None and self.trial is not None:
            raise ConfigError("trial: expected a trial of a study or prompt=, got both")


def run(config: RerunSettings, words: Sequence[str]) -> int:
    """Repeat the training, and print the comparison."""
    result = _study(config, words) if config.prompt is None else _prompt(config, config.prompt)
    print(json.dumps(result, indent=2))
    return int(bool(result.get("differ")))


def _study(config: RerunSettings, words: Sequence[str]) -> dict[str, Any]:
    """Repeat the training of a study, or of one of its trials, and compare all reports."""
    folder = config.runs / config.study
    known = load_study(config.study, config.cluster.storage, folder).user_attrs
    begun = known.get(BEGUN_AS, {})
    recipe = recipe_of_study(config, known, {word.partition("=")[0] for word in words})
    lm, data = recipe.data()
    for key, got in (("lm", lm.fingerprint), ("data", data.corpus.fingerprint)):
        check_partner(folder, key, begun.get(f"{key}_fingerprint", got), got)
    has_lm = not is_rival({"method": begun.get("space.method", "prompt")})
    parts = recipe.parts(lm, data) if has_lm else None

    def make(sizes: Mapping[str, Any]) -> Trainer:
        if parts is None:
            return RivalTrainer(data.task, data.corpus)
        gib = sizes["source_cache_bytes"] / 2**30
        threads = {"threads": sizes["threads"], "tokens_per_pass": sizes["tokens_per_pass"], "trunk_cache_gib": gib}
        return replace(recipe, **threads)(parts)

    with tempfile.TemporaryDirectory() as states:
        found = list(replay(folder / "workers", make, Path(states), config.trial))
    torch.set_num_threads(recipe.threads)
    return {"study": config.study, "trial": config.trial, "dtype": recipe.dtype, **summed(found)}


def _prompt(config: RerunSettings, prompt: Path) -> dict[str, Any]:
    """The members of an exported folder, each trained alone, beside what was exported."""
    tensors, document = load_export(prompt)
    check_training(prompt, document)
    recipe = _recipe_of_export(config, prompt, document)
    lm, data = recipe.data()
    check_partner(prompt, "LM", document["lm"]["fingerprint"], lm.fingerprint)
    check_partner(prompt, "data", document["data"]["fingerprint"], data.corpus.fingerprint)
    members = dict(enumerate(document["members"]))
    fitted, rivals = RivalTrainer(data.task, data.corpus), {i for i, m in members.items() if is_rival(m["params"])}
    trainer = recipe(recipe.parts(lm, data)) if len(rivals) < len(members) else None
    told = []
    for i, member in members.items():
        exported = tensors_of(tensors, i)
        if i in rivals:
            again = _fitted_again(fitted, i, member)
        else:
            assert trainer is not None
            again = _trained_again(trainer, i, member)
        difference = max(float((again[name] - tensor).abs().max()) for name, tensor in exported.items())
        seen = sum(count for _, count in member.get("segments", ())) * document["training"]["batch_size"]
        about = {**{name: member.get(name) for name in ("trial", "seed")}, "utterances": seen or len(data.train)}
        told.append({**about, "largest_difference": difference})
    shares = {i: member["share"] for i, member in members.items()}
    return {
        "members": told,
        "tokens_per_pass": None if trainer is None else trainer.sizes()["tokens_per_pass"],
        "again": {split: _together(trainer, fitted, rivals, shares, data, split) for split in ("valid", "test")},
        "exported": document["metrics"],
    }


def _recipe_of_export(config: RerunSettings, prompt: Path, document: Mapping[str, Any]) -> TrainerSpec:
    """What the members were trained with, as far as the settings leave it open."""
    training = document["training"]
    batches = {name: training[name] for name in ("batch_size", "stream_seed")}
    recipe = replace(recipe_of(config), task=task_of(document), **batches)
    tokens = agreed_tokens(recipe.lm_tokens, {prompt: lm_tokens_in(prompt, document)})
    recipe = replace(recipe, lm_tokens=tokens)
    if config.engine.dtype == "auto":
        recipe = replace(recipe, dtype=trained_in(document))
    if (
        config.engine.tokens_per_pass is None
    ):  # as in the first run, because the size of micro-batches affects rounding
        recipe = replace(recipe, tokens_per_pass=document["facts"].get("tokens_per_pass"))
    return recipe


def _trained_again(trainer: MultiTrialTrainer, number: int, member: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """A member's tensors, trained on the batches that it saw."""
    trainer.add(number, member["params"], seed=member["seed"], budget=member["budget"])
    trainer.retrain([number], member["segments"])
    with tempfile.TemporaryDirectory() as folder:
        trainer.save(number, Path(folder))
        tensors: Mapping[str, Tensor] = read_state(Path(folder))["tensors"]
    return tensors


def _fitted_again(trainer: RivalTrainer, number: int, member: Mapping[str, Any]) -> Mapping[str, Tensor]:
    """A rival's tensors, fitted anew."""
    trainer.add(number, member["params"], seed=0, budget=1)
    trainer.advance([number], {number: 1})
    return {name: torch.from_numpy(tensor) for name, tensor in trainer.rival(number).tensors().items()}


def _together(
    trainer: MultiTrialTrainer | None,
    fitted: RivalTrainer,
    rivals: set[int],
    shares: Mapping[int, float],
    data: TaskData,
    split: str,
) -> dict[str, float]:
    """What all members come to on a split when they answer together."""
    if trainer is None:
        found = fitted.measure(shares, split)
    else:
        legal = [data.space.words(answer, data.task) for answer in data.space.answers]
        given = [(fitted.rival(i).scores(data.corpus.splits[split], legal), shares[i]) for i in sorted(rivals)]
        found = trainer.measure({i: share for i, share in shares.items() if i not in rivals}, split, given)
    metrics: dict[str, float] = found["metrics"]
    return metrics
