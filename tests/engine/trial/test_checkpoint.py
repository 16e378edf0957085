import hashlib
import re
from pathlib import Path

import pytest
import torch

from sp_search.engine.trial.checkpoint import TrialRun, load_state, read_state, save_state
from sp_search.engine.trial.hparams import TrialHParams
from sp_search.engine.trial.trial import new_trial
from sp_search.errors import CheckpointError
from tests.damage import NOT_OURS, cut_off, flipped, garbled
from tests.engine.trials import BUDGET, CHOOSING, TRIALS, add_all, assert_same, trained
from tests.tiny import tiny_lm, tiny_trainer

NUMBERS = range(len(CHOOSING))


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """All trials trained for 4 updates and saved, then for 4 more."""
    folder = tmp_path_factory.mktemp("whole")
    trainer = tiny_trainer()
    add_all(trainer, dict(enumerate(CHOOSING.values())))
    trained(trainer, NUMBERS, 4, folder)
    for number in NUMBERS:
        trainer.save(number, folder / f"saved{number}")
    return folder, trained(trainer, NUMBERS, 4, folder), {number: trainer.facts(number) for number in NUMBERS}


@pytest.mark.parametrize("number", NUMBERS, ids=list(CHOOSING))
def test_a_saved_and_restored_trial_goes_on_to_the_same_losses(interrupted, number, tmp_path):
    folder, wanted, facts = interrupted
    trainer = tiny_trainer()
    params = list(CHOOSING.values())[number]
    trainer.add(number, params, seed=100 + number, budget=BUDGET, state=folder / f"saved{number}")
    assert_same(trained(trainer, [number], 4, tmp_path)[number], wanted[number])
    assert trainer.facts(number) == facts[number]


def test_a_restored_trial_answers_as_it_did(interrupted):
    folder, _, _ = interrupted
    trainer = tiny_trainer()
    params = TRIALS["linear, uniform"]
    number = list(TRIALS).index("linear, uniform")
    trainer.add(1, params, seed=100 + number, budget=BUDGET, state=folder / f"saved{number}")
    trainer.save(1, folder / "again")
    other = tiny_trainer()
    other.add(2, params, seed=100 + number, budget=BUDGET, state=folder / "again")
    assert other.evaluate([2], "test")[2] == trainer.evaluate([1], "test")[1]


def test_a_disk_that_is_full_is_told_as_such_and_the_older_state_stays(tmp_path, monkeypatch):
    trainer, whole = tiny_trainer(), Path.open
    add_all(trainer, {1: TRIALS["infix"]})
    trainer.save(1, tmp_path)
    before = (tmp_path / "state.pt").read_bytes()
    monkeypatch.setattr(Path, "open", lambda path, *how: whole(Path("/dev/full") if how == ("wb",) else path, *how))
    with pytest.raises(OSError, match="No space left on device"):
        trainer.save(1, tmp_path)
    monkeypatch.undo()
    assert (tmp_path / "state.pt").read_bytes() == before


@pytest.fixture
def saved(tmp_path):
    """A folder with a state of the trial `infix`."""
    trainer = tiny_trainer()
    add_all(trainer, {1: TRIALS["infix"]})
    trainer.save(1, tmp_path)
    return tmp_path


def test_a_state_is_plain_tensors_numbers_and_lists(saved):
    assert set(read_state(saved)) == {
        "settings", "units", "tensors", "optimizer", "generator", "updates", "utterances_seen", "segments", "train_s",
        "last_step", "loss_sum", "scored", "of", "note",
    }  # fmt: skip


def test_a_later_state_replaces_an_earlier_one_and_leaves_nothing_else(saved):
    trainer = tiny_trainer()
    add_all(trainer, {1: TRIALS["infix"]})
    trainer.advance([1], {1: BUDGET})
    trainer.save(1, saved)
    assert read_state(saved)["updates"] == 2
    assert [path.name for path in saved.iterdir()] == ["state.pt"]


OTHERS = {
    "hyperparameter": (dict(lr=0.5), {}, {}, "lr: expected 0.5, got 0.01"),
    "of its prompt": (dict(prompt_length=5), {}, {}, "prompt.prompt_length: expected 5, got 2"),
    "seed": ({}, dict(seed=7), {}, "seed: expected 7, got 101"),
    "budget": ({}, dict(budget=8), {}, "budget: expected 8, got 160"),
    "batch size": ({}, {}, dict(batch_size=4), "batch_size: expected 4, got 8"),
    "stream": ({}, {}, dict(stream_seed=5), "stream_seed: expected 5, got 3"),
    "all": (
        dict(lr=0.5), dict(seed=7, budget=8), dict(batch_size=4, stream_seed=5),
        "lr: expected 0.5, got 0.01; seed: expected 7, got 101; budget: expected 8, got 160; "
        "batch_size: expected 4, got 8; stream_seed: expected 5, got 3",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("params", "of_run", "of_trainer", "differing"), OTHERS.values(), ids=OTHERS)
def test_a_state_of_another_run_is_refused_with_all_that_differs(saved, params, of_run, of_trainer, differing):
    wanted = f"{saved / 'state.pt'}: expected the saved state of this trial, got another's: {differing}; "
    with pytest.raises(CheckpointError, match=f"^{re.escape(wanted)}remove it to train the trial from its start$"):
        tiny_trainer(**of_trainer).add(
            1, {**TRIALS["infix"], **params}, **{"seed": 101, "budget": BUDGET, **of_run}, state=saved
        )


def test_a_state_of_the_same_run_is_taken(saved):
    run = TrialRun(seed=101, budget=BUDGET, batch_size=8, stream_seed=3)
    assert load_state(saved, TrialHParams.from_params(TRIALS["infix"]), run)["updates"] == 0


def test_a_state_of_a_version_that_did_not_name_the_run_is_refused(saved):
    older = {name: value for name, value in read_state(saved).items() if name != "of"} | {"budget": BUDGET}
    write_sealed(older, saved / "state.pt")
    with pytest.raises(
        CheckpointError,
        match=r"state\.pt: expected a saved state with seed, budget, batch_size and stream_seed, got one of an older "
        r"version; remove it to train the trial from its start$",
    ):
        tiny_trainer().add(1, TRIALS["infix"], seed=101, budget=BUDGET, state=saved)


def test_a_restored_trial_decays_over_the_budget_it_was_given(saved):
    state = read_state(saved)
    trial = new_trial(TrialHParams.from_params(TRIALS["infix"]), tiny_lm(), tuple(state["units"]), seed=0, budget=7)
    trial.restore(state)
    assert trial.budget == 7


def test_an_absent_state_is_refused(tmp_path):
    with pytest.raises(
        CheckpointError,
        match=re.escape(f"{tmp_path / 'state.pt'}: expected a trial's saved state, found no such file"),
    ):
        read_state(tmp_path)


def write_sealed(content, path):
    torch.save(content, path)
    path.write_bytes(path.read_bytes() + hashlib.sha256(path.read_bytes()).hexdigest().encode())


def test_a_state_that_would_run_code_is_refused(tmp_path):
    write_sealed({"settings": print}, tmp_path / "state.pt")
    with pytest.raises(
        CheckpointError, match=r"state\.pt: expected a trial's saved state, got a file torch can't read"
    ):
        read_state(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [lambda whole: cut_off(whole, 60), lambda whole: garbled(whole, 60, seed=0), lambda whole: flipped(whole, 200)],
    ids=["cut off", "garbled", "one byte flipped"],
)
def test_a_state_damaged_anywhere_is_refused(saved, damage):
    path = saved / "state.pt"
    for damaged in damage(path.read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"state\.pt: expected a trial's saved state") as caught:
            read_state(saved)
        assert "\n" not in str(caught.value)


def test_a_damaged_state_is_told_with_what_to_do(saved):
    path = saved / "state.pt"
    *_, ending, _, _ = flipped(path.read_bytes(), 200)
    path.write_bytes(ending)
    was, now = ending[-64:-52].decode(), hashlib.sha256(ending[:-64]).hexdigest()[:12]
    with pytest.raises(
        CheckpointError,
        match=re.escape(
            f"{path}: expected a trial's saved state of sha256 {was}..., as it ends, got one of {now}...: it is "
            f"damaged or cut off; restore it from a copy, or remove it to train the trial from its start"
        ),
    ):
        read_state(saved)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_garbled_state_that_ends_in_its_sha256_is_refused(saved):
    path = saved / "state.pt"
    for damaged in garbled(path.read_bytes()[:-64], 60, seed=0):
        path.write_bytes(damaged + hashlib.sha256(damaged).hexdigest().encode())
        with pytest.raises(CheckpointError, match=r"state\.pt: expected a trial's saved state, got "):
            read_state(saved)


@pytest.mark.parametrize("content", NOT_OURS, ids=repr)
def test_a_file_that_is_no_state_is_refused(tmp_path, content):
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state\.pt: expected a trial's saved state"):
        read_state(tmp_path)


@pytest.mark.parametrize("content", [[1, 2], {"model": {}}, torch.zeros(3)], ids=str)
def test_a_torch_file_of_another_kind_is_refused(tmp_path, content):
    write_sealed(content, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match=r"state\.pt: expected a trial's saved state, got another kind of file"):
        read_state(tmp_path)


def test_a_state_saved_on_another_lm_is_refused_with_its_shapes(saved):
    with pytest.raises(
        CheckpointError,
        match=r"expected tensors infix \(2, 32\), separator \(32\,\), got infix \(2, 16\), separator \(16,\); "
        r"was it saved on another LM\?",
    ):
        tiny_trainer(lm=tiny_lm(embed_dim=32)).add(1, TRIALS["infix"], seed=101, budget=BUDGET, state=saved)


def test_a_restored_trial_keeps_the_seconds_it_was_trained(tmp_path):
    trainer, other = tiny_trainer(), tiny_trainer()
    add_all(trainer, {1: TRIALS["infix"]})
    trainer.advance([1], {1: BUDGET})
    trainer.save(1, tmp_path)
    other.add(1, TRIALS["infix"], seed=101, budget=BUDGET, state=tmp_path)
    assert other.measure({1: 1.0}, "test")["train_s"] == trainer.measure({1: 1.0}, "test")["train_s"] > 0


@pytest.mark.parametrize("lost", ["optimizer", "generator", "updates", "last_step"])
def test_a_sealed_state_that_lacks_something_is_refused(tmp_path, lost, monkeypatch):
    trial = new_trial(TrialHParams.from_params(TRIALS["infix"]), tiny_lm(), tuple(range(4, 13)), seed=0, budget=9)
    whole = trial.state()
    monkeypatch.setattr(trial, "state", lambda: {name: value for name, value in whole.items() if name != lost})
    save_state(trial, TrialRun(0, 9, 8, 0), tmp_path)
    with pytest.raises(CheckpointError, match="expected a trial's saved state, got another kind of file"):
        read_state(tmp_path)
