"""A stranger in a fresh clone types every block of the tutorial and of README, from the first to the last."""

import json
import shutil

import pytest

from tests.pages.blocks import PYTHON, README, SHELL, TUTORIAL, blocks, shell_lines
from tests.pages.recordings import CLIP, SAID, write_recordings
from tests.pages.stranger import Stranger

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stranger") / "clone"
    someone = Stranger(folder)
    write_recordings(folder)
    shutil.copy(folder / CLIP, folder / "clip.wav")
    return someone


def test_the_tutorial_ends_with_a_prediction_for_a_recording(stranger):
    for block in blocks(TUTORIAL, SHELL):
        printed = stranger.types(block)
    answer = json.loads(printed)
    assert (answer["id"], answer["labels"][0] in SAID) == ("clip.wav", True)
    (in_python,) = blocks(TUTORIAL, PYTHON)
    assert stranger.types(in_python) == f"{tuple(answer['labels'])}\n"


def test_every_block_of_readme_runs(stranger):
    of_tutorial = set(shell_lines(TUTORIAL))
    left = [block for block in blocks(README) if not set(block.text.splitlines()) <= of_tutorial]
    printed = "".join(stranger.types(block) for block in left)
    assert (stranger.folder / "runs/intent-demo-demo/report/index.html").exists()
    assert printed.count(" answers with ") == 2, "serve, and MLflow's UI"
