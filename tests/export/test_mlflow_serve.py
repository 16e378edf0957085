"""An exported prompt behind `mlflow models serve`, in a process of its own: it answers as `evaluate` counts."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from sp_search import load
from sp_search.cli.exported.by_name import demo_data
from sp_search.cli.exported.prompts import LMChoice, Prompts, demo_quantizer
from sp_search.engine.trial.task_data import task_data
from sp_search.lm.zoo import load_lm
from sp_search.tasks.registry import get_task
from sp_search.units.manifest import load_corpus
from tests.cli.serving.running import running
from tests.cli.shell import sp_search
from tests.export.winner import DEEP, train_and_export
from tests.tiny import no_scores
from tests.tracking.servers import free_port
from tests.units.speech import write_hum

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def demo_prompt(tmp_path_factory):
    """A prompt that saw some utterances of the demo, and the test split of it."""
    folder = tmp_path_factory.mktemp("demo")
    loaded = load_lm("demo", None, folder / "cache")
    corpus = load_corpus(demo_data(), loaded.dictionary, "demo")
    data = task_data(corpus, loaded.dictionary, get_task("intent"), no_scores)
    winner = train_and_export(folder, DEEP, demo_quantizer(), loaded.lm, data)
    test = corpus.splits["test"]
    lines = [" ".join(loaded.dictionary.symbol(int(unit)) for unit in test.source(i)) for i in range(len(test))]
    return winner.folder, lines, test.answers


@pytest.fixture(scope="module")
def served(demo_prompt, tmp_path_factory):
    """The address where MLflow's own server answers with that prompt."""
    folder, port = tmp_path_factory.mktemp("serve"), free_port()
    command = ["-m", "mlflow", "models", "serve", "-m", str(demo_prompt[0]), "--env-manager", "local"]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # MLflow calls uvicorn by its name
        "PYTHONPATH": str(ROOT),
        "SP_SEARCH_LM": "demo",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, *command, "-h", "127.0.0.1", "-p", str(port)],
            cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while not is_up(port):
            assert time.monotonic() < until, (folder / "log").read_text()
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def is_up(port: int) -> bool:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5).status == 200
    except (urllib.error.URLError, OSError):
        return False


def asked(url: str, inputs: list[str], **more) -> list[dict]:
    body = json.dumps({"inputs": inputs, **more}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return json.load(answer)["predictions"]


@pytest.mark.long
def test_a_thousand_utterances_are_answered_as_evaluate_counts_them(served, demo_prompt, tmp_path):
    folder, lines, wanted = demo_prompt
    found = [answer for at in range(0, len(lines), 250) for answer in asked(served, lines[at : at + 250])]
    few = "data.train_utterances=200"  # to fit the rivals on
    right = sum(tuple(one["labels"]) == answer for one, answer in zip(found, wanted, strict=True))
    counted = json.loads(sp_search(tmp_path, "evaluate", f"prompt={folder}", "lm=demo", "data=demo", few).stdout)
    assert counted["utterances"] == len(lines) == 1000
    assert right / 1000 == counted["metrics"]["accuracy"] > 0.02
    by_shell = sp_search(tmp_path, "predict", f"prompt={folder}", "lm=demo", stdin="\n".join(lines)).stdout
    assert [one["labels"] for one in found] == [json.loads(line)["labels"] for line in by_shell.splitlines()]
    in_python = load(folder, lm="demo").predict_many(lines)
    assert [one["labels"] for one in found] == [list(answer.labels) for answer in in_python]
    with running(Prompts([folder], LMChoice("demo", None, tmp_path)), longest_queue=1000, most_bytes=10**6) as server:
        body = json.dumps({"utterances": [{"units": line} for line in lines]})
        _, _, answered = server.ask("POST", "/predict", body, **{"content-type": "application/json"})
    assert [one["labels"] for one in found] == [one["labels"] for one in answered["answers"]]


def test_a_recording_is_answered_by_its_path_and_by_its_bytes_as_in_python(served, demo_prompt, tmp_path):
    clip = write_hum(tmp_path / "clip.wav")
    packed = base64.b64encode(clip.read_bytes()).decode()
    by_path, by_bytes, units = asked(served, [str(clip), packed, "71 12 57"], params={"top": 3})
    assert by_path["scores"] == by_bytes["scores"] != units["scores"]
    assert len(units["scores"]) == 3
    assert load(demo_prompt[0], lm="demo").predict(clip).to_json(top=3) == {**by_path, "id": "clip.wav"}


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        (["71 12", "71 x"], "input line 2: expected units of the LM's dictionary (100 units, 0 to 99), got 'x'"),
        (["/nowhere/clip.wav"], "input: 1 of 1 audio files can't be read: /nowhere/clip.wav: expected an audio file"),
        ([" ".join(["7"] * 4000)], "input utterance 1: "),
    ],
)
def test_a_bad_input_is_a_400_with_one_line(served, inputs, why):
    with pytest.raises(urllib.error.HTTPError) as refused:
        asked(served, inputs)
    told = json.load(refused.value)
    assert refused.value.code == 400
    assert told["message"].startswith(why)
    assert "\n" not in told["message"]
