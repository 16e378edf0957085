"""Answer utterances with an exported prompt. Prints a JSON line for each: its id, the best answer, and its score.

input= is audio: a file, a folder of files, a pattern such as 'clips/*.wav', or a text file with one path per line. Or
it is a file of unit lines (`12 7 44`, `name|12 7 44` or JSON). Without input=, unit lines or paths are read from
stdin. Audio may have any rate and channel count. It needs a prompt that names its quantizer: one from a search on the
demo, or on a corpus that `sp-search prepare` made.

top=5 adds the scores of the five best answers. prompt=A,B,C answers with several prompts over one LM: the utterances
are read and go through the LM once, and `prompts` in a line has the answer of each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from sp_search.cli.exported.prompts import Prompts, answer_record, exported_folders, prompt_names
from sp_search.cli.settings.reads import OF_ANSWERING
from sp_search.cli.wiring.factories import prompts_of
from sp_search.config import Settings, below_one, refuse
from sp_search.errors import DataError
from sp_search.export.predictor import Prediction
from sp_search.files.paths import user_path
from sp_search.message import say
from sp_search.types import Split
from sp_search.units.clips import Asked, asked_at, asked_by
from sp_search.units.manifest import read_units
from sp_search.units.partners import UnitOrigin, corpus_origin
from sp_search.units.repeats import differing_repeats

READS = (*OF_ANSWERING, "units.checkpoint")
EXAMPLE = "sp-search predict prompt=exports/my lm=lms/my input=clip.wav"

SHOWN = 5
"""How many names of skipped files are printed."""


@dataclass(frozen=True, kw_only=True)
class PredictSettings(Settings):
    """The prompt and its input."""

    prompt: str  # an exported folder, or several with commas between them
    input: str = "-"  # unit lines or audio, told apart by their content; - = stdin
    top: int = (
        1  # how many answers are printed with their scores, best first; 1 = the best answer and its score alone
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse(below_one(self, "top"))


def run(config: PredictSettings) -> int:
    """Print the answer to every utterance, in the order of the input."""
    place = "stdin" if config.input == "-" else config.input
    asked = _asked(config.input)
    folders = exported_folders(config.prompt)
    names = prompt_names(folders)
    prompts = prompts_of(config, folders, config.units.checkpoint)
    say(*prompts.check_units(*([] if asked.clips else _known_origin(config.input))))
    for answers in _answers(prompts, asked, place):
        print(json.dumps(answer_record(answers, names, config.top), ensure_ascii=False), flush=True)
    return 0


def _answers(prompts: Prompts, asked: Asked, place: str) -> Iterator[tuple[Prediction, ...]]:
    """The answers to what was asked, once stderr has said what the input was read as."""
    if asked.clips:
        prompts.check_audio()
        say(f"input: {place}: audio, {len(asked.clips):,} file{'' if len(asked.clips) == 1 else 's'}")
        return prompts.of_clips(asked.clips, place)
    split = read_units(asked.lines, prompts.dictionary, place)
    say(f"input: {split.form}", *_repeats(prompts, split))
    return prompts.predict(split)


def _repeats(prompts: Prompts, split: Split) -> list[str]:
    origins = [prompt.origin for prompt in prompts.loaded]
    return [differing_repeats(split, origin.repeats, f"{origin.who} was trained on") for origin in origins]


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
