"""Answer utterances with an exported prompt: a JSON line each with id, labels and every answer's score, best first.

input= is a file of unit lines (`12 7 44`, `name|12 7 44` or JSON), or audio: a file, a folder of files, or a text
with one path a line. Without it, unit lines or paths are read from stdin. Audio needs a prompt that names its
quantizer: one searched on the demo, or on a corpus that `sp-search prepare` made.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sp_search.cli.wiring.factories import predictor_of, unitizer_of
from sp_search.config import Settings
from sp_search.errors import DataError
from sp_search.export.predictor import Predictor
from sp_search.files.paths import user_path
from sp_search.units.clips import Asked, asked_at, asked_by, unit_lines
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import read_units

SHOWN = 5
"""Names of files that are passed over."""


@dataclass(frozen=True, kw_only=True)
class PredictSettings(Settings):
    """What answers, and what is asked."""

    prompt: Path  # an exported folder
    input: str = "-"  # unit lines or audio, told apart by content; - reads stdin


def run(config: PredictSettings) -> int:
    """Print id, labels and scores of every utterance, in their order."""
    place = "stdin" if config.input == "-" else config.input
    asked = _asked(config.input)
    predictor, dictionary, document = predictor_of(config, config.prompt)
    if not asked.clips:
        _answer(predictor, asked.lines, dictionary, place)
        return 0
    for lines in unit_lines(unitizer_of(config, config.prompt, document), asked.clips, place):
        if lines:
            _answer(predictor, lines, dictionary, place)
    return 0


def _asked(source: str) -> Asked:
    """Lines of units, or clips; files in a folder that are neither are named on stderr."""
    if source == "-":
        if sys.stdin is None:
            raise DataError("stdin: expected lines of units or of paths, got a closed stdin; say input=FILE")
        return asked_by(sys.stdin.buffer, "stdin")
    asked = asked_at(user_path(source, "input"))
    if asked.passed_over:
        count, shown = len(asked.passed_over), ", ".join(asked.passed_over[:SHOWN])
        print(
            f"{source}: passed over {count} files that are no audio: {shown}{', ...' * (count > SHOWN)}",
            file=sys.stderr,
        )
    return asked


def _answer(predictor: Predictor, lines: Iterable[str], dictionary: Dictionary, place: str) -> None:
    for prediction in predictor.predict(read_units(lines, dictionary, place)):
        print(json.dumps(prediction.to_json(), ensure_ascii=False), flush=True)
