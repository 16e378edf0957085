"""From recordings of one's own to an answer in five commands, on a corpus with a column `emotion`."""

import json
import shlex

import pytest
import soundfile

from sp_search.demo.espeak import Espeak
from sp_search.demo.voices import Manner
from sp_search.units.features import SAMPLE_RATE
from tests.cli.shell import sp_search

SAID = {"glad": "what a lovely day", "cross": "leave me alone now"}
VOICES = {"train": ("en-us", "en-gb-x-rp", "en-029"), "valid": ("en-gb-scotland",), "test": ("en-gb-x-gbclan",)}
SHORT = [
    "trials=2", "schedule.budget=64", "schedule.grace=32", "schedule.batch_size=8",
    "schedule.confirm.top=1", "schedule.confirm.seeds=1",
    "schedule.final.seeds=0", "tracking.enabled=false", "cluster.workers=1", "cluster.slots=2",
]  # fmt: skip
TINY = ["layers=2", "embed_dim=16", "ffn_embed_dim=32", "attention_heads=2", "updates=4", "warmup_updates=2"]


def write_recordings(folder):
    (folder / "clips").mkdir(parents=True)
    rows, espeak = ["path,split,emotion"], Espeak()
    for split, voices in VOICES.items():
        for voice in voices:
            for pitch in (40, 60):
                for emotion, text in SAID.items():
                    speech = espeak.say(text, Manner(voice=voice, words_per_minute=240, pitch=pitch, liveliness=50))
                    name = f"clips/{split}-{voice}-{pitch}-{emotion}.wav"
                    soundfile.write(folder / name, speech, SAMPLE_RATE)
                    rows.append(f"{name},{split},{emotion}")
    (folder / "my.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.slow
def test_recordings_of_ones_own_come_to_an_answer_in_five_commands(tmp_path, in_ray):
    write_recordings(tmp_path)
    prepared = sp_search(
        tmp_path, "prepare", "corpus=my.csv", "to=units/my", "units.quantizer=null", "units.fit.units=20",
        "cluster.workers=1",
    )  # fmt: skip
    told, steps = prepared.stderr.splitlines()[-2:]
    assert told == "sp-search: tasks that it fits: task=label task.field=emotion (emotion, 2 labels)"
    pretrain, search = (shlex.split(step)[1:] for step in steps.removeprefix("sp-search: next: ").split(" ; then: "))
    sp_search(
        tmp_path, *pretrain, *TINY, "max_positions=256", "batch_tokens=512", "pass_tokens=512", "engine.device=cpu"
    )
    assert search == ["search", "task=label", "task.field=emotion", "lm=lms/my", "data=units/my"]
    sp_search(tmp_path, *search, *SHORT)
    study = search[1:]
    exported = sp_search(tmp_path, "export", *study, "to=exports/my").stdout.strip()
    assert json.loads((tmp_path / "runs" / "emotion-my-my" / "summary.json").read_text())["task"] == "label"
    clip = f"input=clips/test-{VOICES['test'][0]}-40-glad.wav"
    (answer,) = sp_search(tmp_path, "predict", f"prompt={exported}", "lm=lms/my", clip).stdout.splitlines()
    assert set(json.loads(answer)) == {"id", "labels", "score"}
    assert json.loads(answer)["labels"][0] in SAID
    measured = json.loads(sp_search(tmp_path, "evaluate", "prompt=exports/my", "lm=lms/my", "data=units/my").stdout)
    assert (measured["task"], measured["utterances"]) == ("label", 4)
