"""The exported folder: a prompt of kilobytes, all that is known of it, and a page for people.

prompt.safetensors holds the tensors, prompt.json the document of `export_document`, README.md says how to use it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sp_search.engine.state import read_state
from sp_search.errors import CheckpointError, ConfigError, StudyError
from sp_search.prompts.file import load_prompt, save_prompt
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.registry import Task, get_task

FORMAT = 2


def write_export(folder: Path, state: Path, document: Mapping[str, Any]) -> None:
    """Write a trained trial as an exported folder, replacing an older one.

    Args:
        folder: where to.
        state: folder of the trial's saved state.
        document: what is known of the trial: that of `of_task`, lm, data, params, metrics, provenance.

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
    }
    save_prompt(folder, saved["tensors"], whole)
    (folder / "README.md").write_text(readme(whole))


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
    load_prompt(source)
    if not (source / "README.md").exists():
        raise CheckpointError(f"{source}: expected README.md beside the prompt, found none; export it again")
    if target.resolve() == source.resolve():
        raise ConfigError(f"{target}: expected another folder than the one that is copied")
    if target.is_file():
        raise ConfigError(f"{target}: expected a new, empty or exported folder, got a file")
    if target.exists() and not (target / "prompt.json").exists() and any(target.iterdir()):
        raise ConfigError(f"{target}: expected a new, empty or exported folder, got one with other files")
    target.mkdir(parents=True, exist_ok=True)
    for name in ("prompt.safetensors", "prompt.json", "README.md"):
        shutil.copyfile(source / name, target / name)


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


def readme(document: Mapping[str, Any]) -> str:
    """The page beside a prompt."""
    metrics = "\n".join(
        f"| {split} | {name} | {value:.4f} |"
        for split, of_split in document["metrics"].items()
        for name, value in of_split.items()
    )
    params = "\n".join(f"| {name} | {value} |" for name, value in document["params"].items())
    lm, data = document["lm"], document["data"]
    return f"""# Prompt for {document["task"]}

Makes the frozen unit LM `{lm["name"]}` (fingerprint `{lm["fingerprint"][:12]}`) answer in the task
`{document["task"]}`, trained on `{data["name"]}` (fingerprint `{data["fingerprint"][:12]}`). It works on no other LM
and no other units.

    sp-search predict prompt=FOLDER lm={lm["name"]} input=units.txt
    sp-search evaluate prompt=FOLDER lm={lm["name"]} data={data["name"]} split=test

| split | metric | value |
| --- | --- | --- |
{metrics}

| setting | value |
| --- | --- |
{params}
"""
