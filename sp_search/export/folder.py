"""The exported folder: a prompt of kilobytes, all that is known of it, and a page for people.

prompt.safetensors holds the tensors (of a prompt, a fine-tuned LM or a linear probe), prompt.json the document of
`export_document`, README.md says how to use it, MLmodel says it to MLflow, and quantizer.safetensors makes units of
audio, where it is known how those were made that the prompt was searched on.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sp_search.engine.trial.checkpoint import read_state
from sp_search.errors import CheckpointError, ConfigError, StudyError
from sp_search.files.write import write_text
from sp_search.prompts.file import load_prompt, save_prompt
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.registry import Task, get_task
from sp_search.units.quantizer import Quantizer

FORMAT = 2
QUANTIZER, MLMODEL = "quantizer.safetensors", "MLmodel"
TITLES = {"prompt": "Prompt", "finetune": "Fine-tuned LM", "probe": "Linear probe"}
WORKINGS = {
    "prompt": "Makes the frozen unit LM {lm} answer",
    "finetune": "The weights of unit LM {lm}, every one trained further, so that it answers",
    "probe": "A linear layer that reads the answer off the states of the frozen unit LM {lm},",
}
"""What an exported folder holds, by method."""


def write_export(folder: Path, state: Path, document: Mapping[str, Any], quantizer: Quantizer | None) -> None:
    """Write a trained trial as an exported folder, replacing an older one.

    Args:
        folder: where to.
        state: folder of the trial's saved state.
        document: what is known of the trial: that of `of_task`, lm, data, params, metrics, versions and the rest of
            where it comes from.
        quantizer: what made the corpus's units, where that is known.

    Raises:
        CheckpointError: the state can't be read.
    """
    saved = read_state(state)
    kind = saved["settings"]["verbalizer"]
    whole = {
        "format": FORMAT,
        **document,
        "verbalizer": {"kind": kind, "units": saved["units"]},
        "segments": saved["segments"],
        "quantizer_fingerprint": None if quantizer is None else quantizer.fingerprint,
    }
    folder.mkdir(parents=True, exist_ok=True)
    if quantizer is None:
        (folder / QUANTIZER).unlink(missing_ok=True)  # of an older export
    else:
        quantizer.save(folder / QUANTIZER)
    save_prompt(folder, saved["tensors"], whole)
    _write_pages(folder, load_prompt(folder)[1])  # in the order of the file, as a copy has it


def of_task(task: Task, space: LabelSpace) -> dict[str, Any]:
    """What a document says of answers, for `task_of` and the label space to be read again.

    Training's answers are in it only where they are what may be answered: transcripts are many and long.
    """
    answers = {
        "answer_format": task.answer_format,
        "decoding": task.decoding,
        "max_answer": task.max_answer or space.longest,
    }
    kept = space.without_answers() if task.decoding == "free" else space
    return {"task": task.name, "answers": answers, "label_space": kept.to_json()}


def task_of(document: Mapping[str, Any]) -> Task:
    """The task that a document was written for."""
    return get_task(document["task"], **document["answers"])


def copy_export(source: Path, target: Path) -> None:
    """Copy an exported folder once it is known to be whole.

    Raises:
        CheckpointError: the source is not a whole exported folder.
        ConfigError: the target exists and is no exported folder, so nothing may be put over it.
    """
    _, document = load_prompt(source)
    has_quantizer = exported_quantizer(source, document) is not None
    if target.resolve() == source.resolve():
        raise ConfigError(f"{target}: expected another folder than the one that is copied")
    if target.is_file():
        raise ConfigError(f"{target}: expected a new, empty or exported folder, got a file")
    if target.exists() and not (target / "prompt.json").exists() and any(target.iterdir()):
        raise ConfigError(f"{target}: expected a new, empty or exported folder, got one with other files")
    target.mkdir(parents=True, exist_ok=True)
    if not has_quantizer:
        (target / QUANTIZER).unlink(missing_ok=True)  # of an older export
    for name in ("prompt.safetensors", "prompt.json", *([QUANTIZER] if has_quantizer else [])):
        shutil.copyfile(source / name, target / name)
    _write_pages(target, document)


def exported_quantizer(folder: Path, document: Mapping[str, Any]) -> Quantizer | None:
    """What makes the units of an exported prompt; None where its document names none.

    Raises:
        CheckpointError: the file is absent, damaged, or another than the document names.
    """
    named = document.get("quantizer_fingerprint")
    if named is None:
        return None
    quantizer = Quantizer.load(folder / QUANTIZER)
    if quantizer.fingerprint != named:
        raise CheckpointError(
            f"{folder / QUANTIZER}: expected the quantizer that prompt.json names ({named:.12}...), got "
            f"{quantizer.fingerprint[:12]}...; export it again"
        )
    return quantizer


def best_folder(runs: Path, study: str) -> Path:
    """Where a finished search leaves its winner.

    Raises:
        StudyError: the study has no winner yet.
    """
    folder = runs / study / "best"
    if not (folder / "prompt.json").exists():
        raise StudyError(
            f"{folder}: expected the winner of study {study}, found none; run the search to its end first"
        )
    return folder


def _write_pages(folder: Path, document: Mapping[str, Any]) -> None:
    write_text(folder / "README.md", readme(document))
    write_text(folder / MLMODEL, mlmodel(document))


def mlmodel(document: Mapping[str, Any]) -> str:
    """What MLflow reads: who loads the folder, with which LM, and that lines of units are asked. JSON is YAML too."""
    config = {"lm": document["lm"]["name"], "cache": "~/.cache/sp_search", "device": "auto", "dtype": "auto"}
    flavour = {
        "loader_module": "sp_search.export.mlflow_model",
        "python_version": document["versions"]["python"],
        "config": config,
    }
    whole = {
        "flavors": {"python_function": flavour},
        "mlflow_version": document["versions"]["mlflow"],
        "signature": {"inputs": json.dumps([{"type": "string", "required": True}])},
    }
    return json.dumps(whole, indent=2) + "\n"


def readme(document: Mapping[str, Any]) -> str:
    """The page beside a prompt."""
    metrics = "\n".join(
        f"| {split} | {name} | {value:.4f} |"
        for split, of_split in document["metrics"].items()
        for name, value in of_split.items()
    )
    params = "\n".join(f"| {name} | {value} |" for name, value in document["params"].items())
    lm, data = document["lm"], document["data"]
    inputs = ["units.txt", *(["clip.wav"] if document["quantizer_fingerprint"] else [])]
    predict = "\n".join(f"    sp-search predict prompt=FOLDER lm={lm['name']} input={file}" for file in inputs)
    method = document["params"].get("method", "prompt")
    working = WORKINGS[method].format(lm=f"`{lm['name']}` (fingerprint `{lm['fingerprint'][:12]}`)")
    return f"""# {TITLES[method]} for {document["task"]}

{working} in the task
`{document["task"]}`, trained on `{data["name"]}` (fingerprint `{data["fingerprint"][:12]}`). It works on no other LM
and no other units.

{predict}
    sp-search evaluate prompt=FOLDER lm={lm["name"]} data={data["name"]} split=test

MLflow loads the folder too: `mlflow.pyfunc.load_model("FOLDER", model_config={{"lm": "{lm["name"]}"}})` answers
lines of units; `lm` may be a path.

| split | metric | value |
| --- | --- | --- |
{metrics}

| setting | value |
| --- | --- |
{params}
"""
