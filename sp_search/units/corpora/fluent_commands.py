"""Fluent Speech Commands as its archive unpacks: `data/{train,valid,test}_data.csv`, and the paths in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sp_search.errors import DataError
from sp_search.files.json_line import LineError
from sp_search.files.table import column_names
from sp_search.files.text import text_lines
from sp_search.units.manifest import SPLITS
from sp_search.units.recordings import Recording, csv_rows, gather, label

COLUMNS = ("path", "transcription", "action", "object", "location")


def read_fluent_commands(folder: Path, _: str) -> list[Recording]:
    """Its utterances, the answer being action, object and location.

    Raises:
        DataError: a file is absent, is not of these columns, or has a bad line.
    """
    found = []
    for split in SPLITS:
        path = folder / "data" / f"{split}_data.csv"
        lines = enumerate(text_lines(path), 1)
        names = column_names(next(lines, (1, ""))[1])
        if not set(COLUMNS) <= set(names):
            raise DataError(f"{path}: expected columns {', '.join(COLUMNS)}, got {', '.join(names)}")

        def recording(row: Mapping[str, str | None], _: int, split: str = split) -> Recording:
            values = {name: (row[name] or "").strip() for name in COLUMNS}
            if not all(values.values()):
                raise LineError(f"expected {', '.join(COLUMNS)}, got {', '.join(map(repr, values.values())):.160}")
            return Recording(
                id=Path(values["path"]).stem,
                split=split,
                path=folder / values["path"],
                labels=tuple(label(values[slot]) for slot in ("action", "object", "location")),
                text=values["transcription"],
            )

        found += gather(csv_rows(names, lines, COLUMNS), str(path), recording)
    return found
