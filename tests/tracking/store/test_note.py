from sp_search.tracking.store.note import finished_note, opened_note

ANSWER = {"test": {"accuracy": 0.98}, "intervals": {"accuracy": [0.971, 0.989]}}
SUMMARY = {
    "study": "my study", "task": "intent", "metric": "accuracy", "wall_s": 586.4,
    "lm": {"name": "demo"}, "data": {"name": "calls"}, "trials": {"complete": 3, "pruned": 21, "failed": 0},
    "best": {"trial": 7, "seeds": [1, 2, 3], "members": [{"method": "prompt"}, {"method": "ngram"}], **ANSWER},
    "answers": {"single": {**ANSWER, "test": {"accuracy": 0.945}}},
    "setting": {"test": {"accuracy": 0.9457}},
    "baseline": {"name": "n-grams", "against": {"verdict": "beats n-grams by 0.056"}, **ANSWER},
}  # fmt: skip


def test_the_note_of_a_running_study_says_what_it_is_and_how_to_follow_it():
    note = opened_note({"study": "my study", "task": "intent", "lm": "big", "data": "calls", "trials": 24})
    about = "A search of prompts for the task `intent` over the LM `big` on `calls`, 24 trials in all."
    assert note.startswith(f"{about} It has not ended yet.")
    assert "sp-search status study='my study'" in note


def test_the_note_of_an_ended_study_has_the_winner_beside_its_rivals_and_lines_to_paste():
    note = finished_note(SUMMARY)
    rows = [line for line in note.splitlines() if line.startswith("|")]
    assert rows == [
        "| answer | test accuracy | 95 % interval |",
        "| --- | ---: | --- |",
        "| **the winner: 1 prompt and 1 n-gram model** | 0.9800 | 0.9710 to 0.9890 |",
        "| the best one alone | 0.9450 | 0.9710 to 0.9890 |",
        "| the setting of trial 7, mean of 3 seeds | 0.9457 |  |",
        "| n-grams, without the LM | 0.9800 | 0.9710 to 0.9890 |",
    ]
    assert "The winner beats n-grams by 0.056." in note
    assert "sp-search export study='my study' to=exports/'my study'" in note


def test_a_search_without_a_winner_says_so():
    assert finished_note({"trials": {"failed": 3}, "best": None}) == "A search that ended without a winner."
