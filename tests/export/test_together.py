"""States that answer together in an exported folder: as the trainer measured them, whatever the batch."""

from dataclasses import replace

import pytest
import torch

from sp_search.errors import CheckpointError
from sp_search.export.folder import write_export
from sp_search.export.predictor import load_predictor
from sp_search.metrics.measures import measure
from sp_search.prompts.file import load_prompt, save_prompt
from tests.export.winner import DEEP, train_and_export
from tests.tiny import CPU, tiny_data, tiny_texts

PROMPTS = [
    DEEP,
    dict(prompt_length=3, depth=3, lr=0.03, position="infix", verbalizer="random"),
    dict(prompt_length=2, depth=0, lr=0.03, verbalizer="linear", max_source_units=4),
]
LINEAR = [{**params, "verbalizer": "linear"} for params in PROMPTS]
SHARES = [0.4, 0.3, 0.2, 0.1]
CASES = {
    "chosen": (lambda: tiny_data(), [*PROMPTS, dict(method="probe", lr=0.03, probe_layer=2)]),
    "fine-tuned ones too": (lambda: tiny_data(), [*PROMPTS, dict(method="finetune", lr=0.003)]),
    "written": (lambda: tiny_texts(decoding="free"), [*LINEAR, {**DEEP, "verbalizer": "linear", "depth": 1}]),
    "written along training's": (lambda: tiny_texts(decoding="legal"), [*LINEAR, {**DEEP, "verbalizer": "linear"}]),
}


@pytest.fixture(scope="module", params=CASES)
def together(request, tmp_path_factory):
    """Four states in one folder, and the trainer that holds them all."""
    make_data, kinds = CASES[request.param]
    folder, data = tmp_path_factory.mktemp("together"), make_data()
    first = train_and_export(folder, kinds[0], data=data)
    members = [replace(first.member, share=SHARES[0])]
    for number, params in enumerate(kinds[1:], start=1):
        first.trainer.add(number, params, seed=number, budget=10**6)
        first.trainer.advance([number], {number: 0})
        first.trainer.save(number, folder / f"state{number}")
        state = folder / f"state{number}"
        members.append(replace(first.member, share=SHARES[number], trial=number, params=params, state=state))
    write_export(folder / "together", members, first.document, None)
    return replace(first, folder=folder / "together")


def predicted(winner, split, tokens_per_pass=None):
    made = load_predictor(winner.folder, winner.lm, winner.data.dictionary, device=CPU, dtype="float32")[0]
    return list(made.predict(split, tokens_per_pass))


def test_a_folder_is_as_good_as_the_trainer_measured_its_members_together(together):
    test, shares = together.data.corpus.splits["test"], dict(enumerate(SHARES))
    found = measure(together.data.task.metrics, [one.labels for one in predicted(together, test)], test.answers)
    wanted = together.trainer.measure(shares, "test")["metrics"]
    alone = together.trainer.measure({0: 1.0}, "test")["metrics"]
    values = {name: tally.value for name, tally in found.items()}
    assert values == pytest.approx({name: value for name, value in wanted.items() if name != "loss"})
    assert wanted != alone, "else the others would not be heard"


@pytest.mark.parametrize("tokens_per_pass", [1, 64 * 15])
def test_one_utterance_a_pass_is_answered_as_many_are(together, tokens_per_pass):
    test = together.data.corpus.splits["test"]
    for one, other in zip(predicted(together, test, tokens_per_pass), predicted(together, test), strict=True):
        assert one.labels == other.labels
        assert one.scores == pytest.approx(other.scores, rel=1e-4, abs=1e-5)


def test_chosen_answers_have_the_weighted_mean_of_the_members_log_probabilities(together):
    if together.data.task.decoding != "best":
        pytest.skip("answers are written: tests/engine/answer/test_generate.py has the mean of each symbol")
    split = together.data.corpus.splits["test"]
    mean = sum(share * torch.from_numpy(together.trainer.scores(n, "test")) for n, share in enumerate(SHARES))
    names = [
        " ".join(together.data.space.words(answer, together.data.task)) for answer in together.data.space.answers
    ]
    for shares, prediction in zip(mean.softmax(-1).tolist(), predicted(together, split), strict=True):
        assert prediction.scores == pytest.approx(dict(zip(names, shares, strict=True)), abs=2e-5)


def test_the_page_says_who_answers_with_which_share(together):
    page = (together.folder / "README.md").read_text()
    assert "answer together, by the weighted mean of their log-probabilities. They make the unit LM `tiny`" in page
    assert "| setting | member 1 | member 2 | member 3 | member 4 |" in page
    assert "| share | 0.4 | 0.3 | 0.2 | 0.1 |" in page


def test_tensors_of_no_member_are_refused(together, tmp_path):
    named, document = load_prompt(together.folder)
    save_prompt(tmp_path, named, {**document, "members": document["members"][:3]})
    with pytest.raises(CheckpointError, match=r": expected tensors of 3 members, got 3\.\w+"):
        load_predictor(tmp_path, together.lm, together.data.dictionary, device=CPU, dtype="float32")
