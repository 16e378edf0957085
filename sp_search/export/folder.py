"""The exported folder: prompts of kilobytes, all that is known of them, and a page for people.

prompt.safetensors holds the tensors of all members (prompts, a fine-tuned LM, linear probes), prompt.json the
document of `export_document` with an entry for each member. README.md says how to use the folder, MLmodel and the
files that it names say it to MLflow, and quantizer.safetensors makes units of audio, where it is known how those of
training were made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from sp_search.errors import CheckpointError, ConfigError, StudyError
from sp_search.export.document import FORMAT, load_export
from sp_search.export.members import packed_members
from sp_search.export.mlflow_files import mlflow_files
from sp_search.export.page import readme
from sp_search.files.paths import check_inside, is_there
from sp_search.files.write import write_bytes, write_text
from sp_search.lm.unit_tokens import GivenTokens
from sp_search.prompts.file import save_prompt
from sp_search.tasks.label_space import LabelSpace
from sp_search.tasks.registry import Task, get_task
from sp_search.types import Member
from sp_search.units.quantizer import Quantizer

QUANTIZER = "quantizer.safetensors"


def write_export(
    folder: Path, members: Sequence[Member], document: Mapping[str, Any], quantizer: Quantizer | None
) -> None:
    """Write trained states that answer together as an exported folder, replacing an older one.

    Args:
        folder: where to.
        members: the states; one alone is a single prompt.
        document: what is known of them: that of `of_task`, lm, data, metrics, versions and the rest of where they
            come from.
        quantizer: what made the corpus's units, where that is known.

    Raises:
        CheckpointError: a state can't be read.
    """
    tensors, entries = packed_members(members)
    whole = {
        "format": FORMAT,
        **document,
        "members": entries,
        "quantizer_fingerprint": None if quantizer is None else quantizer.fingerprint,
    }
    folder.mkdir(parents=True, exist_ok=True)
    if quantizer is None:
        (folder / QUANTIZER).unlink(missing_ok=True)  # of an older export
    else:
        quantizer.save(folder / QUANTIZER)
    save_prompt(folder, tensors, whole)
    _write_pages(folder, load_export(folder)[1])  # in the order of the file, as a copy has it


def of_task(task: Task, space: LabelSpace) -> dict[str, Any]:
    """What a document says of answers, for `task_of` and the label space to be read again.

    Training's answers are in it only where they are what may be answered: transcripts are many and long.
    """
    answers = {
        "answer_format": task.answer_format,
        "decoding": task.decoding,
        "max_answer": task.max_answer or space.longest,
        "field": task.field,
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
    _, document = load_export(source)
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
    for name in (*([QUANTIZER] if has_quantizer else []), "prompt.safetensors", "prompt.json"):
        write_bytes(target / name, (source / name).read_bytes())  # a server may read it meanwhile
    _write_pages(target, document)


def exported_quantizer(folder: Path, document: Mapping[str, Any]) -> Quantizer | None:
    """What makes the units of an exported prompt; None where its document names none.

    Raises:
        CheckpointError: the file is absent, damaged, or another than the document names.
    """
    named = document.get("quantizer_fingerprint")
    if named is None:
        return None
    check_inside(folder / QUANTIZER, folder, CheckpointError)
    quantizer = Quantizer.load(folder / QUANTIZER)
    if quantizer.fingerprint != named:
        raise CheckpointError(
            f"{folder / QUANTIZER}: expected the quantizer that prompt.json names ({named:.12}...), got "
            f"{quantizer.fingerprint[:12]}...; export it again"
        )
    return quantizer


def needed_quantizer(folder: Path, document: Mapping[str, Any]) -> Quantizer:
    """What makes the units of an exported prompt, where the input is audio.

    Raises:
        CheckpointError: its document names none; or as `exported_quantizer`.
    """
    quantizer = exported_quantizer(folder, document)
    if quantizer is None:
        raise CheckpointError(
            f"{folder}: expected a prompt that names its quantizer, for the input is audio, got one of a corpus in "
            f"units; give unit lines, or search on a corpus that sp-search prepare has made of audio"
        )
    return quantizer


def lm_tokens_in(folder: Path, document: Mapping[str, Any]) -> GivenTokens:
    """What the search of an exported folder was told of its LM's tokens; nothing where the LM's own folder says all.

    Raises:
        CheckpointError: the document says it in another form.
    """
    found, names = document["lm"].get("tokens", {}), [field.name for field in fields(GivenTokens)]
    if not isinstance(found, dict) or any(
        name not in names or not (value is None or type(value) is int) for name, value in found.items()
    ):
        raise CheckpointError(
            f"{folder}: expected the LM's {', '.join(names)} as numbers, got {found!r:.80}; export it again"
        )
    return GivenTokens(**found)


def best_folder(runs: Path, study: str) -> Path:
    """Where a finished search leaves its winner.

    Raises:
        StudyError: the study has no winner yet, or its folder may not be looked into.
    """
    folder = runs / study / "best"
    if not is_there(folder / "prompt.json", StudyError):
        raise StudyError(
            f"{folder}: expected the winner of study {study}, found none; run the search to its end first"
        )
    return folder


def _write_pages(folder: Path, document: Mapping[str, Any]) -> None:
    write_text(folder / "README.md", readme(document))
    for name, text in mlflow_files(document).items():
        write_text(folder / name, text)
