"""Answer utterances with an exported prompt: unit lines in, one JSON line each out, scores best first."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from sp_search.cli.parts import predictor_of
from sp_search.config import Settings
from sp_search.units.manifest import open_text, read_units


@dataclass(frozen=True, kw_only=True)
class PredictSettings(Settings):
    """What answers, and what is asked."""

    prompt: Path  # an exported folder
    input: str = "-"  # a file of unit lines in any of the forms, gzipped or not; - reads stdin


def run(config: PredictSettings) -> int:
    """Print id, labels and scores of every utterance, in their order."""
    predictor, dictionary, _ = predictor_of(config, config.prompt)
    piped = config.input == "-"
    lines = sys.stdin if piped else open_text(Path(config.input))
    split = read_units(lines, dictionary, "stdin" if piped else config.input)
    for prediction in predictor.predict(split):
        print(json.dumps(prediction.to_json(), ensure_ascii=False))
    return 0
