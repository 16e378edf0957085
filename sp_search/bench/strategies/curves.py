"""Recorded learning curves: settings drawn from a whole space, each trained to its full budget, nothing stopped.

A file of JSON lines. The first says what was recorded, every other is the curve of one setting under one seed:

    {"task": "intent", "lm": ..., "data": ..., "metric": "accuracy", "budget": 16000, "space": {...}, ...}
    {"number": 0, "seed": 1203, "params": {...}, "points": [[640, 0.31], ...], "test": 0.81, "valid": null}

A point has the utterances seen, and the metric that decides on valid; `test` is that metric on test at the end, null
where the trial diverged. Runs of a setting under fresh seeds also keep `valid`, the metric on valid at the end,
utterance by utterance: [found, total], N numbers each.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sp_search.errors import DataError
from sp_search.files.json_line import LineError, json_value
from sp_search.files.paths import reason
from sp_search.files.text import numbered
from sp_search.files.write import write_bytes
from sp_search.metrics.tally import Tally
from sp_search.types import Params

Point = tuple[int, float]
"""Training utterances seen, and the metric that decides on valid."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a file of curves is about."""

    task: str
    lm: str
    data: str
    metric: str  # that decides, more being better
    budget: int  # training utterances of every curve
    batch_size: int
    layers: int  # of the LM
    space: Mapping[str, Any]  # as its YAML file has it
    made_by: Mapping[str, str]  # fingerprints of LM and data, version, arithmetic and device


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One setting, trained to the full budget under one seed. It is shorter only if it diverged."""

    number: int  # of the setting
    seed: int
    params: Params
    points: tuple[Point, ...]
    test: float | None  # the metric that decides, at the end; None if it diverged
    valid: tuple[tuple[float, ...], ...] | None = None  # found, and total, of each utterance at the end

    @property
    def end(self) -> float:
        """The metric on valid at the full budget; of a trial that diverged, where it was last measured, or 0."""
        return self.points[-1][1] if self.points else 0.0

    @property
    def tally(self) -> Tally:
        """The metric on valid at the end, utterance by utterance."""
        assert self.valid is not None
        return Tally(*(np.array(column) for column in self.valid))


def line_of(record: Recorded | Curve) -> str:
    """One line of a file of curves."""
    values = asdict(record)
    if isinstance(record, Curve):
        values["points"] = [[seen, round(valid, 5)] for seen, valid in record.points]
    return json.dumps(values, separators=(",", ":")) + "\n"


def read_curves(path: Path) -> tuple[Recorded, list[Curve]]:
    """Read a file of curves; it may be packed by gzip, xz or zstd.

    Raises:
        DataError: it can't be read, or is no file of curves; the line is named.
    """
    about: Recorded | None = None
    curves = []
    for number, line in numbered(path):
        try:
            values = json_value(line)
            if about is None:
                about = Recorded(**values)
            else:
                curves.append(_curve(values))
        except (LineError, TypeError, ValueError, KeyError) as error:
            what = f"expected a recorded curve as bench curves writes it, got one that can't be read ({error})"
            raise DataError(f"{path}: line {number}: {what}; record them again") from error
    if about is None:
        raise DataError(f"{path}: expected recorded curves, got an empty file; make one with bench curves")
    return about, curves


def keep_whole_lines(path: Path) -> int:
    """Cut off a last line without its end, as a recording leaves it that was killed.

    Returns:
        The bytes that are left.

    Raises:
        DataError: it can't be read.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: expected a file of curves that can be read, got {reason(error)}") from error
    if raw.endswith(b"\n") or not raw.startswith(b"{"):  # one that is packed is whole or damaged
        return len(raw)
    whole = raw[: raw.rfind(b"\n") + 1]
    write_bytes(path, whole)
    return len(whole)


def by_setting(curves: Iterable[Curve]) -> dict[int, list[Curve]]:
    """The curves of each setting, by its number."""
    found: dict[int, list[Curve]] = {}
    for curve in curves:
        found.setdefault(curve.number, []).append(curve)
    return found


def _curve(values: dict[str, Any]) -> Curve:
    points = tuple((int(seen), float(valid)) for seen, valid in values.pop("points"))
    valid = values.pop("valid")
    tally = None if valid is None else (tuple(valid[0]), tuple(valid[1]))
    return Curve(points=points, valid=tally, **values)
