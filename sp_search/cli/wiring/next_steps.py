"""What `prepare` says in the end: which tasks the corpus fits, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from sp_search.published.catalogue import LMS
from sp_search.units.corpus_tasks import fitting_tasks
from sp_search.units.recordings import Recording

SMALL = "layers=4 embed_dim=128 ffn_embed_dim=512 attention_heads=4 batch_tokens=8192 updates=2000 warmup_updates=200"
"""The shape and training of a unit LM for a CPU."""


def next_steps(recordings: Sequence[Recording], folder: Path, quantizer: str | None) -> list[str]:
    """Which tasks a corpus fits, and what to type next.

    Args:
        recordings: those that could be read.
        folder: of the corpus in units.
        quantizer: its name, where it is a published one or has a file.
    """
    tasks = fitting_tasks(recordings)
    if not tasks:
        return [
            "the corpus fits no task yet: train, valid and test need answers, and training all those of the others "
            "(labels, keyword, text, slots, or a column with one label)"
        ]
    published = [name for name, lm in LMS.items() if lm.units == quantizer]
    lm = published[0] if published else "lms/my"
    steps = [f"sp-search search {tasks[0].words} lm={lm} data={_shell_word(folder)}"]
    if not published:
        steps.insert(0, f"sp-search pretrain corpus={_shell_word(folder)} to={lm} {SMALL}")
    return [f"tasks that it fits: {', '.join(map(str, tasks))}", f"next: {' ; then: '.join(steps)}"]


def _shell_word(path: Path) -> str:
    """A path as it is typed, from the current folder where it lies below it."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
