"""Answer utterances with an exported prompt: a JSON line each, with id, labels and all scores, best first.

input= is a file of unit lines (`12 7 44`, `name|12 7 44` or JSON), or audio: a file, a folder of files, or a text
file with one path per line. Without input=, unit lines or paths are read from stdin. Audio needs a prompt that names
its quantizer: one from a search on the demo, or on a corpus that `sp-search prepare` made.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from sp_search.cli.wiring.factories import predictor_of, unitizer_of
from sp_search.cli.wiring.unit_checks import say, say_partners
from sp_search.config import Settings
from sp_search.errors import DataError
from sp_search.export.predictor import Predictor
from sp_search.files.paths import user_path
from sp_search.types import Split
from sp_search.units.clips import Asked, asked_at, asked_by, unit_lines
from sp_search.units.manifest import read_units
from sp_search.units.partners import UnitOrigin, corpus_origin
from sp_search.units.repeats import differing_repeats

SHOWN = 5
"""How many names of skipped files are printed."""


@dataclass(frozen=True, kw_only=True)
class PredictSettings(Settings):
    """The prompt and its input."""

    prompt: Path  # an exported folder
    input: str = "-"  # unit lines or audio, told apart by content; - reads stdin


def run(config: PredictSettings) -> int:
    """Print id, labels and scores of every utterance, in the order of the input."""
    place = "stdin" if config.input == "-" else config.input
    asked = _asked(config.input)
    predictor, dictionary, document = predictor_of(config, config.prompt)
    prompt = say_partners(config, config.prompt, document, *([] if asked.clips else _known_origin(config.input)))
    if not asked.clips:
        split = read_units(asked.lines, dictionary, place)
        say(f"input: {split.form}", differing_repeats(split, prompt.repeats, f"{prompt.who} was trained on"))
        _answer(predictor, split)
        return 0
    unitizer = unitizer_of(config, config.prompt, document)
    say(f"input: {place}: audio, {len(asked.clips):,} file{'' if len(asked.clips) == 1 else 's'}")
    for lines in unit_lines(unitizer, asked.clips, place):
        if lines:
            _answer(predictor, read_units(lines, dictionary, place))
    return 0


def _asked(source: str) -> Asked:
    """Read the input: unit lines or audio clips. Other files in a folder are named on stderr."""
    if source == "-":
        if sys.stdin is None:
            raise DataError("stdin: expected lines of units or of paths, got a closed stdin; say input=FILE")
        return asked_by(sys.stdin.buffer, "stdin")
    asked = asked_at(user_path(source, "input"))
    if asked.passed_over:
        count, shown = len(asked.passed_over), ", ".join(asked.passed_over[:SHOWN])
        files = "file that is" if count == 1 else "files that are"
        say(f"{source}: passed over {count} {files} no audio: {shown}{', ...' * (count > SHOWN)}")
    return asked


def _known_origin(source: str) -> list[UnitOrigin]:
    """The quantizer of the input, if the folder of its file names one."""
    origin = None if source == "-" else corpus_origin(user_path(source, "input").parent)
    return [origin] if origin is not None and origin.is_known else []


def _answer(predictor: Predictor, split: Split) -> None:
    for prediction in predictor.predict(split):
        print(json.dumps(prediction.to_json(), ensure_ascii=False), flush=True)
