"""Train an exported prompt again, alone, on the very batches it saw; prints one JSON of what came out beside it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from sp_search.cli.wiring.factories import recipe_of
from sp_search.config import Settings
from sp_search.engine.trial.checkpoint import read_state
from sp_search.export.folder import task_of
from sp_search.export.predictor import check_partner, trained_in
from sp_search.prompts.file import load_prompt


@dataclass(frozen=True, kw_only=True)
class RerunSettings(Settings):
    """What to train again."""

    prompt: Path  # an exported folder


def run(config: RerunSettings) -> int:
    """Print the metrics and how far the tensors are apart; both runs add up in other orders, so not by 0."""
    tensors, document = load_prompt(config.prompt)
    training = document["training"]
    batches = {name: training[name] for name in ("batch_size", "stream_seed")}
    recipe = replace(recipe_of(config), task=task_of(document), **batches)
    if config.engine.dtype == "auto":
        recipe = replace(recipe, dtype=trained_in(document))
    if config.engine.tokens_per_pass is None:  # that of the first run: passes of another size round otherwise
        recipe = replace(recipe, tokens_per_pass=document["facts"].get("tokens_per_pass"))
    trainer = recipe()
    check_partner(config.prompt, "LM", document["lm"]["fingerprint"], trainer.lm_fingerprint)
    check_partner(config.prompt, "data", document["data"]["fingerprint"], trainer.data_fingerprint)
    trainer.add(0, document["params"], seed=document["seed"], budget=training["budget"])
    trainer.retrain(0, document["segments"])
    with tempfile.TemporaryDirectory() as folder:
        trainer.save(0, Path(folder))
        again = read_state(Path(folder))["tensors"]
    result = {
        "trial": document["trial"],
        "seed": document["seed"],
        "utterances": sum(count for _, count in document["segments"]) * training["batch_size"],
        "tokens_per_pass": trainer.facts(0)["tokens_per_pass"],
        "again": {split: trainer.evaluate(0, split) for split in ("valid", "test")},
        "exported": document["metrics"],
        "largest_difference": max(float((again[name] - tensor).abs().max()) for name, tensor in tensors.items()),
    }
    print(json.dumps(result, indent=2))
    return 0
