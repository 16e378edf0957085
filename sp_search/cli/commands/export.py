"""Copy a finished study's winner into a folder of its own: prompt.safetensors, prompt.json, README.md and MLmodel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sp_search.cli.settings.reads import OF_NAME
from sp_search.config import Settings
from sp_search.export.folder import best_folder, copy_export
from sp_search.files.paths import check_writable

READS = OF_NAME
EXAMPLE = "sp-search export task=intent lm=lms/my data=units/my to=exports/my"


@dataclass(frozen=True, kw_only=True)
class ExportSettings(Settings):
    """Where the folder goes."""

    to: Path | None = None  # the folder; null = exports/STUDY in the current folder


def run(config: ExportSettings) -> int:
    """Copy the folder, and print its path."""
    target = config.to or Path("exports") / config.study
    best = best_folder(config.runs, config.study)
    check_writable(target, "to", make=False)
    copy_export(best, target)
    print(target)
    return 0
