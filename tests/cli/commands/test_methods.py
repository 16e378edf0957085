"""Fine-tuning and the linear probe, from end to end on a made-up corpus and a random LM, and the comparison."""

import json
import re
from pathlib import Path

import mlflow
import pytest

from tests.cli.shell import LM, SHORT, sp_search
from tests.tiny import write_tiny_corpus

pytestmark = [pytest.mark.slow, pytest.mark.long]
WORDS = [LM, "data=data", *SHORT, "trials=3", "cluster.workers=1"]


METHODS = ("prompt", "finetune", "probe", "ngram", "retrieval")
RIVALS = {"ngram": "n-grams", "retrieval": "nearest training utterance"}


@pytest.fixture(scope="module")
def searched(in_ray, tmp_path_factory):
    """A folder with a corpus in `data` and a study of each method, and their summaries."""
    folder = tmp_path_factory.mktemp("methods")
    write_tiny_corpus(folder / "data", train=200, valid=40, test=40)
    summaries = {}
    for method in METHODS:
        done = sp_search(folder, "search", *WORDS, f"method={method}")
        summaries[method] = json.loads(Path(done.stdout.splitlines()[-1]).read_text())
    return folder, summaries


def test_each_method_has_a_study_of_its_own_and_no_trial_fails(searched):
    _, summaries = searched
    names = {method: summary["study"] for method, summary in summaries.items()}
    prompt = names["prompt"]
    assert names == {"prompt": prompt} | {method: f"{prompt}-{method}" for method in METHODS[1:]}
    for method, summary in summaries.items():
        assert summary["trials"]["failed"] == 0
        assert summary["best"]["method"] == method
        assert summary["best"]["train_s"] >= 0


def test_a_fine_tuned_lm_trains_and_stores_all_of_the_lm_and_a_probe_one_layer(searched):
    _, summaries = searched
    best = {method: summary["answers"]["single"] for method, summary in summaries.items()}
    assert best["probe"]["trained_parameters"] == 5 * 32 + 5
    assert best["probe"]["stored_bytes"] == 4 * (5 * 32 + 5 + 2 * 32)
    assert best["finetune"]["stored_bytes"] == 4 * best["finetune"]["trained_parameters"]
    assert best["finetune"]["trained_parameters"] > 2 * 12 * 32 * 32 > best["prompt"]["trained_parameters"]


@pytest.mark.parametrize("method", ["finetune", "probe", "ngram", "retrieval"])
def test_evaluate_finds_the_exported_metrics_and_their_intervals(searched, method):
    folder, summaries = searched
    exported, study = summaries[method]["best"], summaries[method]["study"]
    done = sp_search(folder, "evaluate", LM, "data=data", f"prompt=runs/{study}/best")
    found = json.loads(done.stdout)
    assert found["metrics"]["accuracy"] == pytest.approx(exported["test"]["accuracy"], abs=1e-6)
    assert found["intervals"]["accuracy"] == pytest.approx(exported["intervals"]["accuracy"], abs=1e-6)


@pytest.mark.parametrize("method", METHODS[1:])
def test_export_copies_a_folder_that_answers_and_says_what_it_is(searched, method):
    folder, _ = searched
    sp_search(folder, "export", LM, "data=data", f"method={method}", f"to={method}")
    answered = json.loads(sp_search(folder, "predict", LM, f"prompt={method}", "top=9", stdin="1 2 3\n").stdout)
    assert len(answered["scores"]) == 5
    title = {
        "finetune": "Fine-tuned LM", "probe": "Linear probe", "ngram": "N-gram model",
        "retrieval": "Nearest training utterance",
    }[method]  # fmt: skip
    assert (folder / method / "README.md").read_text().startswith(f"# {title} for intent\n")


def test_a_fine_tuned_winner_trained_again_on_its_batches_has_its_weights(searched):
    folder, summaries = searched
    best = f"prompt=runs/{summaries['finetune']['study']}/best"
    found = json.loads(sp_search(folder, "rerun", LM, "data=data", best).stdout)
    assert found["members"][0]["largest_difference"] < 2e-3


@pytest.mark.parametrize("method", RIVALS)
def test_a_rival_fitted_again_is_the_same_to_the_bit(searched, method):
    folder, summaries = searched
    study = summaries[method]["study"]
    found = json.loads(sp_search(folder, "rerun", LM, "data=data", f"prompt=runs/{study}/best").stdout)
    assert found["members"][0]["largest_difference"] == 0
    assert found["again"]["test"] == found["exported"]["test"]
    whole = json.loads(sp_search(folder, "rerun", LM, "data=data", f"study={study}").stdout)
    assert whole["differ"] == []
    assert whole["same"] == whole["reports"] == 3 + 2


@pytest.mark.parametrize("method", RIVALS)
def test_a_trial_of_a_rival_reports_once_and_none_is_stopped(searched, method):
    _, summaries = searched
    assert summaries[method]["trials"] == {"complete": 3, "pruned": 0, "failed": 0}


@pytest.mark.parametrize("method", RIVALS)
def test_mlflow_loads_a_rival_and_answers_as_predict_does(searched, method):
    folder, summaries = searched
    best = folder / "runs" / summaries[method]["study"] / "best"
    lines = [line.partition(" <s> ")[0] for line in (folder / "data" / "test.txt").read_text().splitlines()]
    done = sp_search(folder, "predict", LM, f"prompt={best}", stdin="\n".join(lines))
    model = mlflow.pyfunc.load_model(str(best), model_config={"device": "cpu", "cache": str(folder / "cache")})
    assert model.predict(lines) == [json.loads(line) for line in done.stdout.splitlines()]


def test_only_the_winner_of_fine_tuning_and_of_rivals_is_kept_as_an_export(searched):
    folder, summaries = searched
    kept = {
        method: len(list((folder / "runs" / summary["study"] / "trials").glob("*/prompt/prompt.json")))
        for method, summary in summaries.items()
    }
    assert kept["finetune"] == kept["ngram"] == kept["retrieval"] == 0 < kept["prompt"]


def test_the_report_compares_the_methods_and_mlflow_has_its_table(searched):
    folder, summaries = searched
    study = summaries["prompt"]["study"]
    done = sp_search(folder, "report", LM, "data=data", "markdown=true")
    lines = done.stdout.splitlines()
    rivals = [summaries["prompt"]["baseline"], *summaries["prompt"]["other_rivals"]]
    together, *lines = lines[2:]
    assert re.match(r"\| \d (prompts?|n-gram model)( and 1 n-gram model)? \|", together)
    assert [line.split(" | ")[0] for line in lines] == [
        "| prompt", "| fine-tuned LM", "| linear probe on the frozen LM",
        *(f"| {name}" for name in RIVALS.values()), *(f"| {rival['name']}" for rival in rivals),
    ]  # fmt: skip
    for method, line in zip(METHODS, lines, strict=False):
        best = summaries[method]["answers"]["single"]
        assert f"| {best['trained_parameters']:,} | {best['stored_bytes']:,} |" in line
    report = folder / "runs" / study / "report"
    assert (report / "comparison.md").read_text() == done.stdout
    assert "<td>linear probe on the frozen LM</td>" in (report / "index.html").read_text()
    mlflow.set_tracking_uri(f"sqlite:///{folder}/runs/mlflow.db")
    client = mlflow.MlflowClient()
    run = client.get_run(summaries["prompt"]["mlflow_run_id"])
    table = client.load_table(run.info.experiment_id, "report/comparison.json", run_ids=[run.info.run_id])
    assert list(table["study"])[1:6] == [summaries[method]["study"] for method in METHODS]
    assert list(table["accuracy"])[1:] == pytest.approx(
        [summaries[method]["answers"]["single"]["test"]["accuracy"] for method in METHODS]
        + [rival["test"]["accuracy"] for rival in rivals]
    )
    assert run.info.status == "FINISHED"


def test_a_probe_that_would_have_to_write_ends_with_2_and_one_line(searched):
    folder, _ = searched
    done = sp_search(folder, "search", "task=asr", LM, "data=data", "method=probe", expect=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "sp-search: method=probe: expected a task whose answers are chosen (task.decoding=best), got"
    )
