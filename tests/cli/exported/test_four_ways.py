"""The ways to an answer that somebody may carry a prompt into: they agree on units and on a recording.

`mlflow models serve`, a process of its own, is compared with them in tests/export/test_mlflow_serve.py.
"""

import base64
import json

import mlflow
import pytest
from mlflow import MlflowException

import sp_search
from sp_search.cli.exported.prompts import LMChoice, Prompts
from sp_search.export.folder import write_export
from tests.cli.serving.running import running
from tests.cli.shell import sp_search as shell
from tests.units.speech import write_hum


@pytest.fixture
def model(exported, tmp_path):
    config = {"lm": exported.lm, "device": "cpu", "cache": str(tmp_path)}
    return lambda folder: mlflow.pyfunc.load_model(str(folder), model_config=config)


def test_python_the_shell_a_server_and_mlflow_give_one_answer_to_a_recording(exported, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_hum(tmp_path / "clip.wav")
    prompt = sp_search.load(exported.folder, lm=exported.lm, device="cpu", cache=tmp_path)
    by_shell = shell(tmp_path, "predict", f"prompt={exported.folder}", f"lm={exported.lm}", "input=clip.wav").stdout
    assert json.loads(by_shell) == prompt.predict("clip.wav").to_json()
    assert model(exported.folder).predict(["clip.wav"]) == [json.loads(by_shell)]
    with running(Prompts([exported.folder], LMChoice(exported.lm, None, tmp_path), device="cpu")) as server:
        answered = server.ask("POST", "/predict?id=clip.wav", (tmp_path / "clip.wav").read_bytes())
    assert (answered[0], answered[2]) == (200, json.loads(by_shell))
    with pytest.raises(
        MlflowException, match=r"^input: 1 of 2 audio files can't be read: absent\.wav: expected an aud"
    ):
        model(exported.folder).predict(["clip.wav", "absent.wav"])


def test_mlflow_answers_units_a_path_and_the_bytes_of_a_recording_in_one_request(exported, model, tmp_path):
    write_hum(tmp_path / "clip.wav")
    packed = base64.b64encode((tmp_path / "clip.wav").read_bytes()).decode()
    path = str(tmp_path / "clip.wav")
    loaded = model(exported.folder)
    units, by_path, by_bytes, by_url = loaded.predict(["1 2 3", path, packed, f"data:audio/wav;base64,{packed}"])
    assert [units] == loaded.predict(["1 2 3"])
    assert [by_path] == loaded.predict([path])
    assert (by_path["id"], by_bytes["id"], by_url["id"]) == (path, "3", "4")
    assert {**by_bytes, "id": path} == {**by_url, "id": path} == by_path
    cut = base64.b64encode((tmp_path / "clip.wav").read_bytes()[:100]).decode()
    with pytest.raises(MlflowException, match=r"^input: 1 of 1 audio files can't be read: audio 2: expected "):
        loaded.predict(["1 2 3", cut])


def test_mlflow_refuses_a_recording_where_nothing_makes_units_of_it(exported, model, tmp_path):
    write_hum(tmp_path / "clip.wav")
    write_export(tmp_path / "units", [exported.winner.member], exported.winner.document, None)
    with pytest.raises(MlflowException, match=r"units: expected a prompt that names its quantizer, for the "):
        model(tmp_path / "units").predict([str(tmp_path / "clip.wav")])
