"""What to type next: after `init` all steps from audio to an answer, after `prepare` those that are left."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from sp_search.published.catalogue import LMS
from sp_search.units.corpus_tasks import FittingTask, fitting_tasks
from sp_search.units.recordings import Recording

SMALL = "layers=4 embed_dim=128 ffn_embed_dim=512 attention_heads=4 batch_tokens=8192 updates=2000 warmup_updates=200"
"""The shape and training of a unit LM for a CPU."""
NO_TASK = (
    "the corpus fits no task yet: train, valid and test need answers, and training all those of the others "
    "(labels, keyword, text, slots, or a column with one label)"
)


def next_steps(recordings: Sequence[Recording], folder: Path, quantizer: str | None) -> list[str]:
    """Which tasks a corpus in units fits, and the commands up to a search.

    Args:
        recordings: those that could be read.
        folder: of the corpus in units.
        quantizer: its name, where it is a published one or has a file.
    """
    tasks = fitting_tasks(recordings)
    if not tasks:
        return [NO_TASK]
    steps = " ; then: ".join(to_search(tasks[0], folder, quantizer))
    return [f"tasks that it fits: {', '.join(map(str, tasks))}", f"next: {steps}"]


def to_search(task: FittingTask, folder: Path, quantizer: str | None) -> list[str]:
    """The commands from a corpus in units to a search: a unit LM of one's own comes first where none is published."""
    lm = lm_of(folder, quantizer)
    search = f"sp-search search {task.words} lm={lm} data={shell_word(folder)}"
    if published_lm(quantizer):
        return [search]
    return [f"sp-search pretrain corpus={shell_word(folder)} to={lm} {SMALL}", search]


def to_answer(task: FittingTask, folder: Path, quantizer: str | None, clip: Path) -> list[str]:
    """The commands from a finished search to the answer for one recording."""
    lm, to = lm_of(folder, quantizer), shell_word(Path("exports", folder.name))
    return [
        f"sp-search export {task.words} lm={lm} data={shell_word(folder)} to={to}",
        f"sp-search predict prompt={to} lm={lm} input={shell_word(clip)}",
    ]


def lm_of(folder: Path, quantizer: str | None) -> str:
    """The LM of a corpus as it is typed: a published one, else the folder that `pretrain` fills."""
    return published_lm(quantizer) or shell_word(Path("lms", folder.name))


def published_lm(quantizer: str | None) -> str:
    """The first published LM of a quantizer's units; empty where there is none."""
    return next((name for name, lm in LMS.items() if lm.units == quantizer), "")


def shell_word(path: Path) -> str:
    """A path as it is typed, from the current folder where it lies below it."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
