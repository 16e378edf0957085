"""The commands from end to end on a made-up corpus and a random LM: search, evaluate, predict, export, sync."""

import gzip
import json
import re
from pathlib import Path

import mlflow
import pytest

from sp_search.units.audio import load_audio
from tests.cli.shell import LM, SHORT, sp_search, sp_search_alone
from tests.tiny import UNITS, write_tiny_corpus
from tests.units.speech import quantizer, write_hum

pytestmark = pytest.mark.slow
WORDS = [LM, "data=data", *SHORT, "study=tiny", "trials=4"]
EXPORTED = [
    "MLmodel", "README.md", "input_example.json", "prompt.json", "prompt.safetensors", "python_env.yaml",
    "quantizer.safetensors", "requirements.txt", "serving_input_example.json",
]  # fmt: skip
BEST = {
    "trial", "params", "seeds", "members", "valid", "test", "intervals", "method", "trained_parameters",
    "stored_bytes", "train_s", "utterances_per_s",
}  # fmt: skip


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A folder with a corpus in `data`, as if prepared, and an ended search, and what the search printed."""
    folder = tmp_path_factory.mktemp("searched")
    write_tiny_corpus(folder / "data", train=200, valid=40, test=40)
    made_by = quantizer(units=UNITS)
    made_by.save(folder / "data" / "quantizer.safetensors")
    (folder / "data" / "meta.json").write_text(json.dumps({"quantizer_fingerprint": made_by.fingerprint}))
    return folder, sp_search_alone(folder, "search", *WORDS)


@pytest.fixture(scope="module")
def summary(searched):
    _, done = searched
    return json.loads(Path(done.stdout.splitlines()[-1]).read_text())


def in_mlflow(folder):
    """The runs of all studies in a folder."""
    mlflow.set_tracking_uri(f"sqlite:///{folder}/runs/mlflow.db")
    return mlflow.search_runs(search_all_experiments=True, output_format="list")


def test_the_last_line_of_a_search_is_the_path_of_its_summary(searched):
    folder, done = searched
    assert done.stdout.splitlines()[-1] == str(folder / "runs" / "tiny" / "summary.json")


def test_the_summary_has_what_the_contract_names(summary):
    assert set(summary) == {
        "study", "task", "lm", "data", "trials", "best", "wall_s", "trial_s", "device_s", "engine_share", "baseline",
        "metric", "mlflow_run_id", "failures", "answers", "setting", "parts", "other_rivals", "ended_early",
    }  # fmt: skip
    assert set(summary["best"]) == BEST
    assert set(summary["trials"]) == {"complete", "pruned", "failed"}
    assert summary["trials"]["failed"] == 0
    assert sum(summary["trials"].values()) == 4
    assert set(summary["lm"]) == set(summary["data"]) | {"parameters"} == {"name", "fingerprint", "parameters"}
    assert len(summary["best"]["seeds"]) == 2
    assert {rival["name"] for rival in (summary["baseline"], *summary["other_rivals"])} == {
        "n-grams", "nearest training utterance",
    }  # fmt: skip
    assert set(summary["baseline"]) == {
        "name", "settings", "valid", "test", "intervals", "trained_parameters", "stored_bytes", "train_s",
        "against",
    }  # fmt: skip


def test_progress_goes_to_stderr_a_line_a_report(searched):
    _, done = searched
    assert "study tiny: 4 trials of up to 512 utterances" in done.stderr
    assert "winner: " in done.stderr
    before, _, behind = done.stderr.partition("study tiny:")
    assert "sp-search: rivals, valid accuracy: n" in before
    assert "sp-search: plan: 4 trials, of which get there: about 4 at 128, " in before
    assert re.search(r"sp-search: plan: time: about .*, at most .*timed on one worker\); disk: about \d", before)
    assert re.search(r"sp-search: plan: memory: a worker keeps at most \d.*engine.trunk_cache_gib", before)
    assert "\nrivals, test accuracy: n" in behind
    assert "Traceback" not in done.stderr


def test_mlflow_shows_the_study_and_each_trial(searched, summary):
    folder, _ = searched
    runs = in_mlflow(folder)
    (parent,) = [run for run in runs if run.info.run_id == summary["mlflow_run_id"]]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 4 + 2
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert parent.data.tags["mlflow.runName"] == "tiny"
    assert parent.data.metrics["rival_test_accuracy"] == summary["baseline"]["test"]["accuracy"]
    curve = mlflow.MlflowClient().get_metric_history(children[0].info.run_id, "valid_accuracy")
    assert curve[0].step == 128
    artifacts = [file.path for file in mlflow.MlflowClient().list_artifacts(parent.info.run_id, "best")]
    complete = [run for run in children if run.data.tags.get("sp_search.state") == "COMPLETE"]
    for run in complete:
        files = [file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, "prompt")]
        assert ("prompt/prompt.safetensors" in files) == (run.data.tags["sp_search.role"] == "search")
    assert [Path(path).name for path in artifacts] == [*EXPORTED, "test_tally.json"]


def test_mlflow_loads_the_winner_and_answers_as_predict_does(searched, summary):
    folder, _ = searched
    mlflow.set_tracking_uri(f"sqlite:///{folder}/runs/mlflow.db")
    lines = [line.partition(" <s> ")[0] for line in (folder / "data" / "test.txt").read_text().splitlines()]
    model = mlflow.pyfunc.load_model(f"runs:/{summary['mlflow_run_id']}/best", model_config={"device": "cpu"})
    done = sp_search(folder, "predict", LM, "prompt=runs/tiny/best", stdin="\n".join(lines))
    best = [json.loads(line) for line in done.stdout.splitlines()]
    assert model.predict(lines) == best
    more = model.predict(lines, params={"top": 2})
    assert [{key: line[key] for key in ("id", "labels", "score")} for line in more] == best
    assert {len(line["scores"]) for line in more} == {2}
    with pytest.raises(mlflow.MlflowException, match="schema"):
        model.predict([[1, 2]])
    with pytest.raises(
        mlflow.MlflowException, match=r"^input line 2: expected units of the LM's dictionary \(.*\), got 'x'"
    ):
        model.predict(["1 2", "x"])
    (first,) = model.predict(model.input_example)
    assert first["id"] == "1"
    champion = mlflow.pyfunc.load_model("models:/sp-search-intent-data@champion", model_config={"device": "cpu"})
    assert champion.predict(lines) == best


def test_evaluate_finds_the_exported_prompts_accuracy_and_its_rivals(searched, summary):
    folder, _ = searched
    done = sp_search(folder, "evaluate", LM, "data=data", "prompt=runs/tiny/best", "split=test")
    found = json.loads(done.stdout)
    assert found["metrics"]["accuracy"] == pytest.approx(summary["best"]["test"]["accuracy"], abs=1e-6)
    for told in (found["baseline"], *found["other_rivals"]):
        against, ahead = told["against"], found["metrics"]["accuracy"] - told["metrics"]["accuracy"]
        assert against["difference"] == pytest.approx(ahead, abs=1e-9)
        assert against["interval"][0] <= against["difference"] <= against["interval"][1]
        assert told["name"] in against["verdict"]
    for name in ("name", "settings"):
        assert found["baseline"][name] == summary["baseline"][name]
    assert found["baseline"]["metrics"].items() >= summary["baseline"]["test"].items()
    assert found["utterances"] == 40


def test_predict_agrees_with_evaluate_and_takes_files_pipes_and_gzip(searched):
    folder, _ = searched
    text = (folder / "data" / "test.txt").read_text()
    (folder / "test.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    words = ("predict", LM, "prompt=runs/tiny/best")
    outputs = [
        sp_search(folder, *words, "input=data/test.txt").stdout,
        sp_search(folder, *words, "input=test.gz").stdout,
        sp_search_alone(folder, *words, stdin=text).stdout,
    ]
    assert outputs[0] == outputs[1] == outputs[2]
    answered = [json.loads(line)["labels"] for line in outputs[0].splitlines()]
    wanted = [line.partition(" <s> ")[2].split() for line in text.splitlines()]
    hits = sum(a == w for a, w in zip(answered, wanted, strict=True)) / len(wanted)
    evaluated = json.loads(sp_search(folder, "evaluate", LM, "data=data", "prompt=runs/tiny/best").stdout)
    assert hits == pytest.approx(evaluated["metrics"]["accuracy"], abs=1e-9)


def test_export_copies_a_folder_that_still_answers(searched):
    folder, _ = searched
    done = sp_search(folder, "export", LM, "data=data", "study=tiny", "to=mine")
    assert done.stdout == f"{folder / 'mine'}\n"
    assert sorted(path.name for path in (folder / "mine").iterdir()) == EXPORTED
    document = json.loads((folder / "mine" / "prompt.json").read_text())
    assert {"versions", "git", "label_space", "members", "metrics", "dictionary_fingerprint"} <= set(document)
    assert sp_search(folder, "predict", LM, "prompt=mine", stdin="1 2 3\n").stdout.startswith(
        '{"id": "1", "labels": ['
    )


def test_the_winner_answers_a_clip_as_its_units(searched):
    folder, _ = searched
    units = quantizer(units=UNITS).units(load_audio(write_hum(folder / "clip.wav")))
    by_ear = json.loads(sp_search(folder, "predict", LM, "prompt=runs/tiny/best", "input=clip.wav").stdout)
    line = " ".join(map(str, units)) + "\n"
    by_units = json.loads(sp_search(folder, "predict", LM, "prompt=runs/tiny/best", stdin=line).stdout)
    assert by_ear == {**by_units, "id": "clip.wav"}


def test_a_prompt_on_another_lm_ends_with_2_and_one_line(searched):
    folder, _ = searched
    words = ("predict", "lm=random:2x16x2", "prompt=runs/tiny/best")
    done = sp_search_alone(folder, *words, stdin="1 2 3\n", expect=2)
    assert "expected the LM it was trained on (fingerprint" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_study_name_with_other_data_ends_with_2_and_one_line(searched):
    folder, _ = searched
    write_tiny_corpus(folder / "other", train=100, valid=20, test=20)
    done = sp_search(folder, "search", *WORDS, "data=other", expect=2)
    assert "study tiny: expected what it was begun with, data fingerprint " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_sync_has_nothing_left_after_a_search(searched):
    folder, _ = searched
    assert "0 left" in sp_search(folder, "sync").stdout


def test_a_finished_study_is_told_without_torch_ray_optuna_or_mlflow(searched, summary, monkeypatch):
    folder, _ = searched
    sp_search(folder, "search", *WORDS)  # another test has opened the study since
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    done = sp_search_alone(folder, "search", *WORDS)
    assert done.stdout == f"{folder / 'runs' / 'tiny' / 'summary.json'}\n"
    assert "sp-search: study tiny is finished; raise trials= to go on with it\nsp-search: winner: " in done.stderr
    imported = {
        line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")
    }
    assert "rich" not in imported
    assert imported & {"torch", "ray", "optuna", "mlflow"} == set()


def test_the_same_search_again_is_done_at_once_and_a_greater_total_goes_on(searched, summary, in_ray):
    folder, _ = searched
    words = ("search", *WORDS, "cluster.workers=1")
    again = json.loads(Path(sp_search(folder, *words).stdout.splitlines()[-1]).read_text())
    assert (again["trials"], again["best"], again["mlflow_run_id"]) == (
        summary["trials"], summary["best"], summary["mlflow_run_id"],
    )  # fmt: skip
    more = json.loads(Path(sp_search(folder, *words, "trials=6").stdout.splitlines()[-1]).read_text())
    assert sum(more["trials"].values()) == 6
    assert (folder / "runs" / "tiny" / "report" / "index.html").read_text().count("<tr class=") == 6
    runs = {run.info.run_name: run for run in in_mlflow(folder)}
    (won,) = [name for name in runs if "winner" in name]
    assert f"winner · trial {more['best']['trial']} · " in won
    assert f"(trials: {more['trials']['complete']} complete, " in runs["tiny"].data.tags["mlflow.note.content"]
    assert (more["baseline"], more["other_rivals"]) == (summary["baseline"], summary["other_rivals"])


def test_a_finished_study_has_a_page_and_curves_and_they_can_be_drawn_again(searched):
    folder, _ = searched
    curves = folder / "runs" / "tiny" / "report" / "curves.png"
    assert curves.read_bytes().startswith(b"\x89PNG")
    curves.unlink()
    done = sp_search(folder, "report", "study=tiny", "budget.rate=3")
    page = Path(done.stdout.strip())
    assert curves.exists()
    assert done.stderr == ""
    text = page.read_text()
    assert "test accuracy, 95 % interval" in text
    assert " at 3 an hour of a device" in text
    assert "utterances of valid have a wrong answer" in text


def test_the_answers_to_valid_are_kept_and_come_to_the_accuracy_in_the_summary(searched, summary):
    folder, _ = searched
    answers = [
        json.loads(line) for line in (folder / "runs" / "tiny" / "valid_answers.jsonl").read_text().splitlines()
    ]
    assert len(answers) == 40
    right = sum(one["given"] == one["wanted"] for one in answers) / 40
    assert right == pytest.approx(summary["best"]["valid"]["accuracy"])
    assert all(0 < one["score"] <= 1 for one in answers)


def test_a_winner_trained_again_on_its_batches_answers_as_it_did(searched):
    folder, _ = searched
    found = json.loads(sp_search(folder, "rerun", LM, "data=data", "prompt=runs/tiny/single").stdout)
    wanted = json.loads((folder / "runs" / "tiny" / "summary.json").read_text())["answers"]["single"]["members"]
    assert [(m["trial"], m["seed"]) for m in found["members"]] == [(m["trial"], m["seed"]) for m in wanted]
    assert {m["utterances"] for m in found["members"]} <= {512, 768}
    document = json.loads((folder / "runs" / "tiny" / "single" / "prompt.json").read_text())
    assert found["tokens_per_pass"] == document["facts"]["tokens_per_pass"] > 0
    exported = found["exported"]["test"]["accuracy"]
    assert found["again"]["test"]["accuracy"] == pytest.approx(exported, abs=0.051)
    assert max(m["largest_difference"] for m in found["members"]) < 1e-3


def test_a_whole_study_trained_again_reports_the_same_numbers_to_the_digit(searched):
    folder, _ = searched
    found = json.loads(sp_search(folder, "rerun", LM, "data=data", "study=tiny", *SHORT).stdout)
    assert found["differ"] == []
    assert found["same"] == found["reports"] > 6
    one = json.loads(sp_search(folder, "rerun", LM, "data=data", "study=tiny", "trial=0", *SHORT).stdout)
    assert one["same"] == one["reports"] >= 1


def test_a_renamed_study_goes_on_under_its_new_name_and_is_forgotten_whole(searched, summary):
    folder, _ = searched
    (folder / "runs" / "tiny").rename(folder / "runs" / "small")
    done = sp_search(folder, "search", *WORDS, "study=small")
    assert done.stdout == f"{folder / 'runs' / 'small' / 'summary.json'}\n"
    sp_search(folder, "report", LM, "data=data", "study=small")
    assert "<h1>small</h1>" in (folder / "runs" / "small" / "report" / "index.html").read_text()
    assert not (folder / "runs" / "tiny").exists()
    refused = sp_search(folder, "forget", "study=small", expect=2)
    assert "nothing was deleted" in refused.stderr
    assert sp_search(folder, "forget", "study=small", "yes=true").stdout.endswith("study small is forgotten\n")
    assert in_mlflow(folder) == []
    assert mlflow.MlflowClient().search_registered_models() == []
