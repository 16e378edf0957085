"""The tutorial, step by step in this process: from recordings of one's own to an answer for a recording."""

import json
import shlex
import shutil

import pytest

from tests.cli.shell import sp_search
from tests.pages.blocks import SMALL, TUTORIAL, shell_lines
from tests.pages.recordings import CLIP, SAID, write_recordings


@pytest.mark.slow
@pytest.mark.long
def test_the_commands_of_the_tutorial_come_to_an_answer_for_a_recording(tmp_path, in_ray):
    write_recordings(tmp_path)
    shutil.copy(tmp_path / CLIP, tmp_path / "clip.wav")
    done = {}
    for line in shell_lines(TUTORIAL):
        if line.startswith("sp-search ") and line != "sp-search doctor":
            command, *words = shlex.split(line)[1:]
            done[command] = sp_search(tmp_path, command, *words, *SMALL.get(command, ()))
    assert list(done) == ["init", "prepare", "pretrain", "search", "export", "predict"]
    assert "\nemotion: 2 different answers: " in done["init"].stdout
    said = "sp-search: tasks that it fits: task=label task.field=emotion (emotion, 2 labels)"
    assert said in done["prepare"].stderr
    assert said in TUTORIAL.read_text()
    assert json.loads((tmp_path / "runs" / "emotion-my-my" / "summary.json").read_text())["task"] == "label"
    answer = json.loads(done["predict"].stdout)
    assert (set(answer), answer["id"]) == ({"id", "labels", "score"}, "clip.wav")
    assert answer["labels"][0] in SAID
    measured = json.loads(sp_search(tmp_path, "evaluate", "prompt=exports/my", "lm=lms/my", "data=units/my").stdout)
    assert (measured["task"], measured["utterances"]) == ("label", 4)
