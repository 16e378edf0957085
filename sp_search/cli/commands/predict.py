"""Answer utterances with an exported prompt: a JSON line each with id, labels and every answer's score, best first.

input= is a file of unit lines (`12 7 44`, `name|12 7 44` or JSON), or audio: a file, a folder of files, or a text
with one path a line. Without it, unit lines or paths are read from stdin. Audio needs a prompt that names its
quantizer: one searched on the demo, or on a corpus that `sp-search prepare` made.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sp_search.cli.wiring.factories import predictor_of, unitizer_of
from sp_search.config import Settings
from sp_search.export.predictor import Predictor
from sp_search.units.clips import clips_at, listed_clips, unit_lines
from sp_search.units.dictionary import Dictionary
from sp_search.units.manifest import open_text, read_units, text_of
from sp_search.units.recordings import Recording


@dataclass(frozen=True, kw_only=True)
class PredictSettings(Settings):
    """What answers, and what is asked."""

    prompt: Path  # an exported folder
    input: str = "-"  # unit lines or audio, told apart by content; - reads stdin


def run(config: PredictSettings) -> int:
    """Print id, labels and scores of every utterance, in their order."""
    place = "stdin" if config.input == "-" else config.input
    text, clips = _asked(config.input)
    predictor, dictionary, document = predictor_of(config, config.prompt)
    if not clips:
        _answer(predictor, text, dictionary, place)
        return 0
    for lines in unit_lines(unitizer_of(config, config.prompt, document), clips, place):
        if lines:
            _answer(predictor, lines, dictionary, place)
    return 0


def _asked(source: str) -> tuple[io.StringIO, list[Recording]]:
    """A text of unit lines, or clips where it is audio."""
    if source == "-":
        text, folder = text_of(sys.stdin.buffer.read(), "stdin"), Path()
    else:
        path = Path(source).expanduser()
        if clips := clips_at(path):
            return io.StringIO(), clips
        text, folder = open_text(path), path.parent
    return text, listed_clips(text, folder)


def _answer(predictor: Predictor, lines: Iterable[str], dictionary: Dictionary, place: str) -> None:
    for prediction in predictor.predict(read_units(lines, dictionary, place)):
        print(json.dumps(prediction.to_json(), ensure_ascii=False), flush=True)
