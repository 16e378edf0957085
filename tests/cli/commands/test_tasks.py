"""Tasks whose answers are written, from end to end on a made-up corpus and a random LM: search, evaluate, predict."""

import json
from pathlib import Path

import pytest

from tests.cli.shell import LM, SHORT, sp_search
from tests.tiny import tiny_dictionary, tiny_texts

pytestmark = pytest.mark.slow
TYPES = {"on": "switch", "to": "place", "a": "pet", "net": "gear", "at": "time"}
METRICS = {"asr": {"char_accuracy", "cer", "wer"}, "slots": {"slot_type_f1", "slot_value_cer", "slot_edit_f1"}}


def write_corpus(folder):
    """JSON lines with a transcript, and a slot of the type of its first word around all of it."""
    folder.mkdir()
    dictionary = tiny_dictionary()
    for name, split in tiny_texts().corpus.splits.items():
        lines = [
            {
                "id": split.ids[i],
                "units": [dictionary.symbol(int(unit)) for unit in split.source(i)],
                "text": " ".join(answer),
                "slots": f"B-{TYPES[answer[0]]} {' '.join(answer)} E-{TYPES[answer[0]]}",
            }
            for i, answer in enumerate(split.answers)
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module", params=sorted(METRICS))
def searched(in_ray, request, tmp_path_factory):
    """The task, a folder with its corpus in `data` and an ended search, and the search's summary."""
    folder = tmp_path_factory.mktemp(request.param)
    write_corpus(folder / "data")
    words = [f"task={request.param}", LM, "data=data", *SHORT, "study=tiny", "trials=4", "cluster.workers=1"]
    done = sp_search(folder, "search", *words, "tracking.enabled=false")
    return request.param, folder, json.loads(Path(done.stdout.splitlines()[-1]).read_text()), done.stderr


def test_a_search_tells_the_tasks_own_metrics(searched):
    task, folder, summary, told = searched
    best, name = summary["best"], summary["metric"].replace("_", " ")
    single = summary["answers"]["single"]
    assert set(single["valid"]) == set(single["test"]) == METRICS[task] | {"loss"}
    assert set(best["valid"]) - {"loss"} == set(best["test"]) - {"loss"} == METRICS[task]
    assert set(summary["baseline"]["test"]) == METRICS[task]
    assert f"test {name} {best['test'][summary['metric']]:.4f} (" in told
    page = (folder / "runs" / "tiny" / "report" / "index.html").read_text()
    assert f"<th>test {name}</th>" in page


def test_the_winner_has_the_best_mean_of_what_decides(searched):
    _, folder, summary, _ = searched
    journal = (folder / "runs" / "tiny" / "journal.log").read_text()
    assert f"valid_{summary['metric']}" in journal
    assert summary["metric"] in ("char_accuracy", "slot_type_f1")


def test_evaluate_finds_the_exported_prompts_metrics_with_intervals(searched):
    task, folder, summary, _ = searched
    found = json.loads(sp_search(folder, "evaluate", LM, "data=data", "prompt=runs/tiny/best").stdout)
    exported = {name: value for name, value in summary["best"]["test"].items() if name != "loss"}
    assert found["metrics"] == pytest.approx(exported, abs=1e-6)
    for told in (found, found["baseline"]):
        assert set(told["intervals"]) == set(told["metrics"]) == METRICS[task]
        assert all(low <= told["metrics"][name] <= high for name, (low, high) in told["intervals"].items())
    assert found["baseline"]["name"] == "most frequent answer"


def test_predict_writes_words_and_their_score(searched):
    _, folder, _, _ = searched
    done = sp_search(folder, "predict", LM, "prompt=runs/tiny/best", stdin='{"id": "x", "units": "1 2 3"}\n')
    (line,) = map(json.loads, done.stdout.splitlines())
    assert set(line) == {"id", "labels", "scores"}
    assert list(line["scores"]) == [" ".join(line["labels"])]


def test_a_character_outside_the_space_ends_with_2_and_one_line(searched):
    task, folder, _, _ = searched
    other = folder / "other"
    if not other.exists():
        write_corpus(other)
    lines = (other / "valid.jsonl").read_text().splitlines()
    lines[1] = lines[1].replace("no", "nö").replace("on", "ön").replace("at", "ät").replace("net", "nét")
    (other / "valid.jsonl").write_text("\n".join(lines))
    done = sp_search(folder, "search", f"task={task}", LM, "data=other", "study=other", expect=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("sp-search: valid utterance 2: expected characters of the training split, got '")
