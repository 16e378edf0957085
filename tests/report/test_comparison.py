import json

import pytest

from sp_search.report.comparison import alike, comparison


def rival(name, value, parameters, stored, train_s):
    return {
        "name": name, "settings": {"ngrams": 2}, "test": {"accuracy": value}, "valid": {"accuracy": 0.5},
        "intervals": {"accuracy": [0.125, 0.375]}, "trained_parameters": parameters, "stored_bytes": stored,
        "train_s": train_s,
    }  # fmt: skip


def summary(study, method, value=0.75, task="intent", data="d", members=1, **changes):
    """As a search writes it, with what a comparison reads."""
    single = {
        "test": {"accuracy": value}, "intervals": {"accuracy": [0.5, 0.875]}, "train_s": 12.345,
        "trained_parameters": 1234, "stored_bytes": 4936, "members": [{"method": method}],
    }  # fmt: skip
    best = {name: size * members for name, size in single.items() if isinstance(size, int | float)}
    best |= {"test": {"accuracy": value + 0.1 * (members > 1)}, "intervals": {"accuracy": [0.5, 0.9]}}
    return {
        "study": study, "task": task, "metric": "accuracy",
        "lm": {"name": "lm", "fingerprint": "l"}, "data": {"name": data, "fingerprint": data},
        "best": {
            "method": method, "seeds": [4, 5], "members": [{"method": method}] * members, **best,
        },
        "answers": {"single": single}, "setting": {"test": {"accuracy": value - 0.05, "loss": 1.0}},
        "baseline": rival("n-grams", 0.25, 54321, 434568, 0.012),
        "other_rivals": [rival("nearest training utterance", 0.1875, 0, 99, 0.5)],
        **changes,
    }  # fmt: skip


def test_methods_come_in_the_papers_order_and_the_rivals_last():
    others = [summary("p", "probe", 0.5), summary("b", "prompt", 0.625)]
    found = comparison(summary("f", "finetune", 0.875), others)
    assert found.markdown().splitlines() == [
        "| method | study | test accuracy (95 % interval) | mean of seeds | trained parameters | stored bytes "
        "| training, s |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: |",
        "| prompt | b | 0.625 (0.500 to 0.875) | 0.575 (2) | 1,234 | 4,936 | 12.3 |",
        "| fine-tuned LM | f | 0.875 (0.500 to 0.875) | 0.825 (2) | 1,234 | 4,936 | 12.3 |",
        "| linear probe on the frozen LM | p | 0.500 (0.500 to 0.875) | 0.450 (2) | 1,234 | 4,936 | 12.3 |",
        "| n-grams | – | 0.250 (0.125 to 0.375) | – | 54,321 | 434,568 | 0.012 |",
        "| nearest training utterance | – | 0.188 (0.125 to 0.375) | – | 0 | 99 | 0.5 |",
    ]


def test_a_study_whose_states_answer_together_has_a_row_for_them_and_one_for_the_best_alone():
    found = comparison(summary("b", "prompt", 0.625, members=3), [])
    assert found.cells()[:2] == [
        ["3 prompts", "b", "0.725 (0.500 to 0.900)", "–", "3,702", "14,808", "37"],
        ["prompt", "b", "0.625 (0.500 to 0.875)", "0.575 (2)", "1,234", "4,936", "12.3"],
    ]


def test_every_study_of_a_method_has_a_row_in_the_order_of_names():
    found = comparison(summary("b", "prompt"), [summary("c", "prompt"), summary("a", "prompt")])
    assert [row.study for row in found.rows] == ["a", "b", "c", "", "", "", ""]


def test_a_method_without_a_study_says_how_to_make_one():
    found = comparison(summary("b", "prompt"), [])
    assert [row.note for row in found.rows] == [
        "",
        "no finished study (sp-search search task=intent method=finetune)",
        "no finished study (sp-search search task=intent method=probe)",
        "",
        "",
    ]
    assert found.cells()[1][2:] == [found.rows[1].note, "–", "–", "–", "–"]


@pytest.mark.parametrize("task", ["asr", "slots"])
def test_a_probe_is_not_defined_where_answers_are_written(task):
    found = comparison(summary("b", "prompt", task=task), [])
    assert found.rows[2].note == "not defined: a linear probe writes no answer"


def test_the_table_for_mlflow_has_numbers_and_nothing_where_there_is_none():
    table = comparison(summary("b", "prompt"), []).table()
    assert json.loads(json.dumps(table)) == {
        "columns": [
            "method", "study", "accuracy", "low", "high", "mean", "seeds", "trained_parameters", "stored_bytes",
            "train_s", "note",
        ],
        "data": [
            ["prompt", "b", 0.75, 0.5, 0.875, pytest.approx(0.7), 2, 1234, 4936, 12.345, ""],
            ["fine-tuned LM", "", *[None] * 8, "no finished study (sp-search search task=intent method=finetune)"],
            [
                "linear probe on the frozen LM", "", *[None] * 8,
                "no finished study (sp-search search task=intent method=probe)",
            ],
            ["n-grams", "", 0.25, 0.125, 0.375, None, None, 54321, 434568, 0.012, ""],
            ["nearest training utterance", "", 0.1875, 0.125, 0.375, None, None, 0, 99, 0.5, ""],
        ],
    }  # fmt: skip


def parted(study, method):
    """A summary whose test split has 30 sentences heard before and 20 new ones, of which the new ones decide."""
    values = {"wer": 0.5, "wer_new": 0.25, "wer_heard": 0.75}
    intervals = {"wer": [0.4, 0.6], "wer_new": [0.1, 0.3], "wer_heard": [0.7, 0.8]}
    found = summary(study, method)
    of_best = {"test": values, "intervals": intervals, "train_s": 1.5}
    baseline = {"test": dict.fromkeys(values, 0.1), "intervals": {name: [0.0, 0.2] for name in values}}
    return {
        **found, "metric": "wer_new", "parts": {"valid": {"heard": 1, "new": 2}, "test": {"heard": 30, "new": 20}},
        "best": found["best"] | of_best, "answers": {"single": found["answers"]["single"] | of_best},
        "setting": {"test": values}, "baseline": found["baseline"] | baseline,
    }  # fmt: skip


def test_both_parts_of_test_and_all_of_it_stand_side_by_side_with_their_sizes():
    found = comparison(parted("b", "prompt"), [])
    lines = found.markdown().splitlines()
    assert lines[0] == (
        "| method | study | test wer new of 20 utterances (95 % interval) | mean of seeds | trained parameters "
        "| stored bytes | training, s | test wer (95 % interval) | test wer heard of 30 utterances (95 % interval) |"
    )
    assert lines[1].count("---") == lines[0].count("|") - 1
    assert lines[2] == (
        "| prompt | b | 0.250 (0.100 to 0.300) | 0.250 (2) | 1,234 | 4,936 | 1.5 | 0.500 (0.400 to 0.600) "
        "| 0.750 (0.700 to 0.800) |"
    )
    assert lines[3].endswith(" | – | – | – | – | – | – |")
    assert lines[5].endswith(" | 0.100 (0.000 to 0.200) | 0.100 (0.000 to 0.200) |")


def test_the_table_for_mlflow_has_both_parts_behind_the_rest():
    table = comparison(parted("b", "prompt"), []).table()
    assert table["columns"][2] == "wer_new"
    assert table["columns"][-6:] == ["wer", "wer_low", "wer_high", "wer_heard", "wer_heard_low", "wer_heard_high"]
    assert table["data"][0][-6:] == [0.5, 0.4, 0.6, 0.75, 0.7, 0.8]
    assert table["data"][1][-6:] == [None] * 6
    assert {len(row) for row in table["data"]} == {len(table["columns"])}


def test_alike_are_other_finished_studies_of_the_same_task_lm_and_corpus(tmp_path):
    ours = summary("ours", "prompt")
    stored = [
        ours,
        summary("z", "probe"),
        summary("a", "finetune"),
        summary("other task", "prompt", task="keyword"),
        summary("other data", "prompt", data="e"),
        summary("other lm", "prompt", lm={"name": "lm", "fingerprint": "m"}),
        parted("other metric", "prompt"),
    ]
    for one in stored:
        (tmp_path / one["study"]).mkdir()
        (tmp_path / one["study"] / "summary.json").write_text(json.dumps(one))
    (tmp_path / "unfinished").mkdir()
    assert [one["study"] for one in alike(tmp_path, ours)] == ["a", "z"]


FOREIGN = {
    "empty": "",
    "half written": json.dumps(summary("x", "prompt"))[:90],
    "a list": "[1, 2]",
    "another's object": '{"study": "x"}',
    "numbers as words": json.dumps(
        summary("x", "prompt") | {"best": {**summary("x", "prompt")["best"], "test": "a"}}
    ),
    "null": "null",
    "bytes": "\udcff",
}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_summary_is_named_and_passed_over(tmp_path, capsys, text):
    for name in ("mine", "foreign", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "other" / "summary.json").write_text(json.dumps(summary("other", "probe")))
    (tmp_path / "foreign" / "summary.json").write_bytes(text.encode(errors="surrogateescape"))
    assert [one["study"] for one in alike(tmp_path, summary("mine", "prompt"))] == ["other"]
    said = capsys.readouterr().err
    assert said.startswith(
        f"sp-search: {tmp_path}/foreign/summary.json: expected the summary of a finished study, got"
    )
    assert said.endswith("; it is left out of the comparison\n")
    assert said.count("\n") == 1


def test_a_folder_that_is_called_a_summary_is_passed_over(tmp_path, capsys):
    (tmp_path / "foreign" / "summary.json").mkdir(parents=True)
    assert alike(tmp_path, summary("mine", "prompt")) == []
    assert "got Is a directory" in capsys.readouterr().err
