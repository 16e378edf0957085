"""From nothing to the demo's assets: speech, units, a corpus of JSON lines, a unit LM, and how it came about."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sp_search.demo.corpus import Utterance, plan, plan_requests, plan_words, speak
from sp_search.demo.grammar import intents, phrases
from sp_search.demo.unit_lm import LMSettings, save, train
from sp_search.metrics.measures import measure
from sp_search.rivals.choose import fit_rivals
from sp_search.tasks.registry import TASKS, Task
from sp_search.types import SPECIALS, Split
from sp_search.units.dictionary import Dictionary
from sp_search.units.features import FeatureSettings, frames
from sp_search.units.manifest import SPLITS, load_corpus
from sp_search.units.quantizer import Quantizer, Units, fit_quantizer

Tell = Callable[[str], None]
"""Takes a line on what is being done."""
Spoken = list[tuple[Utterance, Units]]
"""Utterances and their units."""


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """All that decides the assets."""

    seed: int
    utterances: Mapping[str, int]  # commands of train, valid, test and pool
    words: Mapping[str, int]  # on their own, of train, valid and test
    requests: Mapping[str, int]  # of two things at once, of train, valid and test
    units: int
    quantizer_utterances: int  # of train, that the units are clustered from
    features: FeatureSettings
    lm: LMSettings


DEMO = DemoSettings(
    seed=0,
    utterances={"train": 1500, "valid": 800, "test": 1000, "pool": 30000},
    words={"train": 2400, "valid": 600, "test": 960},
    requests={"train": 1500, "valid": 400, "test": 500},
    units=100,
    quantizer_utterances=1500,
    features=FeatureSettings(
        kind="mfcc", mels=40, coefficients=13, window=640, hop=320, falloff=8.0, delta_reach=3, normalise=True
    ),
    lm=LMSettings(
        layers=4, embed_dim=128, attention_heads=4, max_positions=512, dropout=0.1,
        lr=1.5e-3, warmup=0.05, epochs=4, batch_size=16, seed=0,
    ),
)  # fmt: skip
"""What is committed."""


def build(folder: Path, settings: DemoSettings, processes: int, tell: Tell) -> dict[str, Any]:
    """Write `data/`, `lm/`, `quantizer.safetensors` and `meta.json` into a folder; returns what the last one says."""
    for part in ("data", "lm"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    planned = {split: plan(split, count, settings.seed) for split, count in settings.utterances.items()}
    quantizer = _cluster(planned["train"], settings, processes)
    quantizer.save(folder / "quantizer.safetensors")
    tell(f"clustered {settings.quantizer_utterances} utterances into {settings.units} units")
    heard = list(speak(planned["pool"], quantizer.units, processes))
    tell(f"spoke {len(heard)} utterances of pool")
    commands = _write_data(folder, settings, quantizer, processes, tell)
    perplexity = _train(folder / "lm", heard, commands["valid"], settings, tell)
    return _write_meta(folder, settings, perplexity)


def build_data(folder: Path, settings: DemoSettings, processes: int, tell: Tell) -> dict[str, Any]:
    """Write `data/` and `meta.json` again; the folder keeps its quantizer and its unit LM.

    Raises:
        UserError: the folder has no quantizer or no unit LM.
    """
    before = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    _write_data(folder, settings, Quantizer.load(folder / "quantizer.safetensors"), processes, tell)
    return _write_meta(folder, settings, before["unit_lm_perplexity"]["valid"])


def _write_data(
    folder: Path, settings: DemoSettings, quantizer: Quantizer, processes: int, tell: Tell
) -> dict[str, Spoken]:
    """Write the three labelled splits: commands, then words, then requests. Returns the commands of each."""
    commands = {}
    for split in SPLITS:
        planned = [
            plan(split, settings.utterances[split], settings.seed),
            plan_words(split, settings.words[split], settings.seed),
            plan_requests(split, settings.requests[split], settings.seed),
        ]
        spoken = [list(zip(some, speak(some, quantizer.units, processes), strict=True)) for some in planned]
        write_split(folder / "data" / f"{split}.jsonl.gz", [one for some in spoken for one in some])
        commands[split] = spoken[0]
        tell(f"spoke {len(planned[0])} commands, {len(planned[1])} words and {len(planned[2])} requests of {split}")
    return commands


def write_split(path: Path, spoken: Spoken) -> None:
    """JSON lines, gzipped without a time stamp: the same corpus gives the same bytes."""
    with path.open("wb") as raw, gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as file:
        for utterance, units in spoken:
            record = {
                "id": utterance.id,
                "units": " ".join(map(str, units)),
                **utterance.said.fields(),
                "voice": utterance.manner.voice if utterance.said.text else None,
            }
            file.write((json.dumps(record) + "\n").encode())


def _cluster(train_set: Sequence[Utterance], settings: DemoSettings, processes: int) -> Quantizer:
    sample = list(
        speak(train_set[: settings.quantizer_utterances], partial(frames, settings=settings.features), processes)
    )
    return fit_quantizer(settings.features, np.concatenate(sample), settings.units, settings.seed)


def _train(folder: Path, pool: Sequence[Units], valid: Spoken, settings: DemoSettings, tell: Tell) -> float:
    """Train the unit LM on the pool; returns its perplexity on valid's commands."""
    heard, held_out = [units + SPECIALS for units in pool], [units + SPECIALS for _, units in valid]
    tell(f"training the unit LM on {sum(map(len, heard))} units of {len(heard)} utterances")
    checkpoint, perplexity = train(settings.lm, settings.units, heard, held_out, tell)
    counts = np.bincount(np.concatenate(heard), minlength=SPECIALS + settings.units)[SPECIALS:]
    save(folder, checkpoint, counts)
    return perplexity


def _write_meta(folder: Path, settings: DemoSettings, perplexity: float) -> dict[str, Any]:
    dictionary = Dictionary.load(folder / "lm" / "dict.txt")
    splits = {
        task: load_corpus(folder / "data", dictionary, "demo", field=task.field).splits
        for task in TASKS.values()
        if task.name != "label"  # keyword is the one that the demo has
    }
    meta = {
        "settings": asdict(settings),
        "intents": len(intents()),
        "phrasings": len(phrases()),
        "voices": {
            part: len({utterance.manner.voice for utterance in plan(part, count, settings.seed)})
            for part, count in settings.utterances.items()
        },
        "units_per_utterance": {
            task.name: round(len(of_task["train"].tokens) / len(of_task["train"]), 1)
            for task, of_task in splits.items()
        },
        "unit_lm_perplexity": {"valid": round(perplexity, 3)},
        "rivals": {task.name: _rivals(task, of_task) for task, of_task in splits.items()},
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    return meta


def _rivals(task: Task, splits: Mapping[str, Split]) -> dict[str, dict[str, float]]:
    """What decides the task, by split, of answers that each rival gives."""
    return {
        rival.name: {
            name: round(
                measure([task.decides], rival.answers(splits[name]), splits[name].answers)[task.decides].value, 4
            )
            for name in ("valid", "test")
        }
        for rival in fit_rivals(task, splits)
    }
