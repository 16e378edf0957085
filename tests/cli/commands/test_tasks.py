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
    assert f"<th>test {name} (95 % interval)</th>" in page


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
    assert found["baseline"]["metrics"] == summary["baseline"]["test"]


NEW = ("ten ton", "a net", "no net")


@pytest.fixture(scope="module")
def parted(in_ray, tmp_path_factory):
    """A folder with an ended search of transcripts, 60 new ones in valid and 30 in test; its summary and stderr."""
    folder = tmp_path_factory.mktemp("parted")
    write_corpus(folder / "data")
    for split, count in (("valid", 60), ("test", 30)):
        lines = [json.dumps({"id": f"n{i}", "units": [1, 2 + i], "text": NEW[i % 3]}) for i in range(count)]
        with (folder / "data" / f"{split}.jsonl").open("a") as file:
            file.writelines(f"{line}\n" for line in lines)
    words = ["task=asr", LM, "data=data", *SHORT, "study=tiny", "trials=2", "cluster.workers=1"]
    done = sp_search(folder, "search", *words, "tracking.enabled=false")
    return folder, json.loads(Path(done.stdout.splitlines()[-1]).read_text()), done.stderr


def test_new_sentences_decide_and_both_parts_are_told_everywhere(parted):
    folder, summary, told = parted
    best, names = summary["best"], {f"{n}{part}" for n in METRICS["asr"] for part in ("", "_heard", "_new")}
    assert summary["metric"] == "char_accuracy_new"
    assert summary["parts"] == {"valid": {"heard": 12, "new": 60}, "test": {"heard": 12, "new": 30}}
    loss = {"loss"} if len(best["members"]) == 1 else set()  # what several write has none
    assert set(best["valid"]) == set(best["test"]) == names | loss
    assert set(best["intervals"]) == set(summary["baseline"]["intervals"]) == names
    assert "sentences: valid has 12 that training has and 60 new ones" in told
    assert f"test char accuracy new {best['test']['char_accuracy_new']:.4f}" in told
    page = (folder / "runs" / "tiny" / "report" / "index.html").read_text()
    assert "<th>test char accuracy new of 30 utterances (95 % interval)</th>" in page
    assert "<th>test char accuracy heard of 12 utterances (95 % interval)</th>" in page
    readme = (folder / "runs" / "tiny" / "best" / "README.md").read_text()
    value, (low, high) = (best[kind]["char_accuracy_new"] for kind in ("test", "intervals"))
    assert f"| test | char_accuracy_new | {value:.4f} | {low:.4f} to {high:.4f} |" in readme


def test_evaluate_tells_both_parts_of_the_exported_prompt_and_of_the_baseline(parted):
    folder, summary, _ = parted
    found = json.loads(sp_search(folder, "evaluate", LM, "data=data", "prompt=runs/tiny/best").stdout)
    exported = {name: value for name, value in summary["best"]["test"].items() if name != "loss"}
    assert found["metrics"] == pytest.approx(exported, abs=1e-6)
    assert found["parts"] == {"heard": 12, "new": 30}
    assert found["baseline"]["metrics"] == pytest.approx(summary["baseline"]["test"])


def test_predict_writes_words_and_their_score(searched):
    _, folder, _, _ = searched
    done = sp_search(folder, "predict", LM, "prompt=runs/tiny/best", stdin='{"id": "x", "units": "1 2 3"}\n')
    (line,) = map(json.loads, done.stdout.splitlines())
    assert set(line) == {"id", "labels", "score"}


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
