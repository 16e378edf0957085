"""What to type next: after `init` all steps from audio to an answer, after `prepare` those that are left."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from sp_search.config import UnitSettings
from sp_search.published.catalogue import LMS
from sp_search.units.corpus_tasks import FittingTask, fitting_tasks
from sp_search.units.recordings import Recording

OF_UNPADDED = "twist_"
"""How LMs are called whose units are of mHuBERT without silence around an utterance."""
SMALL = "layers=4 embed_dim=128 ffn_embed_dim=512 attention_heads=4 batch_tokens=8192 updates=2000 warmup_updates=200"
"""The shape and training of a unit LM for a CPU."""
NO_TASK = (
    "the corpus fits no task yet: train, valid and test need answers, and training all those of the others "
    "(labels, keyword, text, slots, or a column with one label)"
)


def next_steps(recordings: Sequence[Recording], folder: Path, lm: str) -> list[str]:
    """Which tasks a corpus in units fits, and the commands up to a search.

    Args:
        recordings: those that could be read.
        folder: of the corpus in units.
        lm: the published LM of the units; empty where there is none.
    """
    tasks = fitting_tasks(recordings)
    if not tasks:
        return [NO_TASK]
    steps = " ; then: ".join(to_search(tasks[0], folder, lm))
    return [f"tasks that it fits: {', '.join(map(str, tasks))}", f"next: {steps}"]


def to_search(task: FittingTask, folder: Path, lm: str) -> list[str]:
    """The commands from a corpus in units to a search: a unit LM of one's own comes first where none is published."""
    search = f"sp-search search {task.words} lm={lm_of(folder, lm)} data={shell_word(folder)}"
    if lm:
        return [search]
    return [f"sp-search pretrain corpus={shell_word(folder)} to={lm_of(folder, lm)} {SMALL}", search]


def to_answer(task: FittingTask, folder: Path, lm: str, clip: Path) -> list[str]:
    """The commands from a finished search to the answer for one recording."""
    lm, to = lm_of(folder, lm), shell_word(Path("exports", folder.name))
    return [
        f"sp-search export {task.words} lm={lm} data={shell_word(folder)} to={to}",
        f"sp-search predict prompt={to} lm={lm} input={shell_word(clip)}",
    ]


def lm_of(folder: Path, lm: str) -> str:
    """The LM of a corpus as it is typed: the published one, else the folder that `pretrain` fills."""
    return lm or shell_word(Path("lms", folder.name))


def lm_of_units(units: UnitSettings) -> str:
    """The first published LM that was trained on such units; empty where there is none."""
    is_unpadded = units.encoder is not None and units.encoder.pad == 0
    return published_lm(units.quantizer, OF_UNPADDED if units.quantizer == "mhubert25" and is_unpadded else "")


def published_lm(quantizer: str | None, beginning: str = "") -> str:
    """The first published LM of a quantizer's units whose name begins so; empty where there is none."""
    return next((name for name, lm in LMS.items() if lm.units == quantizer and name.startswith(beginning)), "")


def shell_word(path: Path) -> str:
    """A path as it is typed, from the current folder where it lies below it."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
