"""What is wrong with a search is said before its first trial, all of it at once, by `plan` and `search` alike."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sp_search.cli.settings.compose import load_settings
from sp_search.cli.wiring.places import check_places
from sp_search.cli.wiring.search_setup import prepare_search, resolved_dtype
from sp_search.cli.wiring.worker_sizes import check_workers
from sp_search.config import Settings
from sp_search.engine.trial.hparams import parameter_limits
from sp_search.errors import ConfigError, UserError
from sp_search.search.base.space import read_space
from tests.tiny import tiny_lm, write_tiny_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_tiny_corpus(folder)
    return folder


@pytest.fixture
def prepared(corpus, tmp_path):
    """A search of the tiny corpus as words give it; a random LM of 2 layers."""

    def prepared(*words, told=None):
        usual = ["task=intent", "lm=random:2x16x2", f"data={corpus}", f"runs={tmp_path}/runs", f"cache={tmp_path}/c"]
        config = load_settings([*usual, "schedule.budget=64", "schedule.grace=16", *words], Settings)
        return prepare_search(config, ([] if told is None else told).append), config

    return prepared


FAULTS = {
    "position": (["space.position=foo"], "position: expected prefix, infix or both, got 'foo'"),
    "depth": (["space.depth=9"], "depth: expected 0 to 2, got 9"),
    "prompt_length": (["space.prompt_length=9999"], "prompt_length: expected 1 to 1024, got 9999"),
    "lr": (["space.lr=-3"], r"lr: expected above 0, got -3.0"),
    "lr nan": (["space.lr=nan"], "lr: expected above 0, got nan"),
    "dropout": (["space.dropout=7"], "dropout: expected 0 or more and below 1, got 7.0"),
    "verbalizer": (["space.verbalizer=nonsense"], "verbalizer: expected frequency, .* or linear, got 'nonsense'"),
    "layers/9...": ([f"space.depth=layers/{'9' * 5000}"], "depth: expected a whole number, 0 to 2, got 'layers/99"),
    "a list for a sampler": (["schedule.sampler=[tpe]"], "schedule.sampler: expected tpe, .* got \\['tpe'\\]"),
    "a mapping for a pruner": (["schedule.pruner={name: {}}"], "schedule.pruner: expected asha, .* got {}"),
    "layers/0": (["space.depth=layers/0"], "depth: expected layers, or layers/2 and the like, got layers/0"),
    "score_end": (["space.score_end=false", "task.decoding=free"], "score_end: expected true"),
    "first trials no mapping": (["schedule.first_trials=[1]"], "first_trials: expected parameter: value in each"),
    "a first trial's name": (["schedule.first_trials=[{dept: 1}]"], "first_trials: 1 bad key: dept: expected one"),
    "a first trial's value": (["schedule.first_trials=[{lr: fast}]"], "lr: expected a number, above 0, got 'fast'"),
    "when": (["+space.verbalizer_seed={int: [0, 9], when: {verbalizer: lineer}}"], "when: verbalizer: expected freq"),
    "rivals beside a prompt": (["+space.method={choice: [ngram, prompt]}"], "method: expected rivals alone"),
    "a prompt's parameter of a rival": (["method=ngram", "+space.lr=0.1"], "lr: expected one of .*ngrams"),
    "a rival's parameter of a prompt": (["+space.ngrams=2"], "ngrams: expected one of"),
    "deep on both sides": (["space.position=both", "space.depth=2"], "a trial of it can't run: position: expected"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_search_is_one_line_before_anything_runs(prepared, words, fault):
    with pytest.raises(UserError, match=fault) as caught:
        prepared(*words)
    assert "\n" not in str(caught.value)


def test_all_faults_are_in_one_message(prepared, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError) as caught:
        prepared(
            "space.position=foo", "space.dropout=7", "engine.device=cuda", "schedule.sampler=bayes",
            "schedule.pruner={name: asha, brackets: 9}",
        )  # fmt: skip
    for fault in (
        "schedule.sampler: expected tpe, gp, cmaes, random, qmc, or a mapping with such a name, got 'bayes'",
        "schedule.pruner.brackets: expected at most",
        "position: expected",
        "dropout: expected",
        "engine.device: expected auto or cpu where torch finds no",
    ):
        assert fault in str(caught.value)


def test_what_this_machine_lacks_is_told_before_ray_would_wait_for_it(prepared, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError) as caught:
        prepared("cluster.gpus_per_worker=1", "cluster.workers=100000")
    assert "cluster.gpus_per_worker: expected at most the 1 GPUs of this machine" in str(caught.value)
    assert "for which this machine has the memory, got 100000; one worker trains several" in str(caught.value)
    prepared("cluster.gpus_per_worker=0.5", "cluster.workers=2")


def test_more_workers_than_gpus_are_refused_where_each_takes_one_without_a_word(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"of this machine .* got 2 x 1; say cluster\.workers=1, or fewer GPUs for"):
        check_workers(load_settings(["cluster.workers=2", "engine.device=cuda"], Settings))
    check_workers(load_settings(["cluster.workers=2", "engine.device=cpu"], Settings))
    check_workers(load_settings(["cluster.workers=2", "engine.device=cuda", "cluster.gpus_per_worker=0.5"], Settings))


def test_sizes_beyond_all_use_are_refused(prepared):
    with pytest.raises(ConfigError) as caught:
        prepared("cluster.slots=5000", "schedule.chunk_updates=99999999999999999999")
    assert str(caught.value) == (
        "cluster.slots: expected at most 1024, got 5000; "
        "schedule.chunk_updates: expected chunks of at most 100,000 utterances, behind which a trial reports, got "
        "99999999999999999999 updates of 8"
    )


def test_a_training_line_longer_than_the_lms_positions_is_told(prepared, corpus, tmp_path):
    long = tmp_path / "long"
    write_tiny_corpus(long)
    (long / "train.txt").write_text(" ".join(["1"] * 4000) + " <s> a b c\n" + (long / "train.txt").read_text())
    with pytest.raises(UserError, match=r"train utterance 1: expected at most 30[67]\d units for an LM of 3072"):
        prepared(f"data={long}", "space.max_source_units=0")
    prepared(f"data={long}", "space.max_source_units=50")


def test_a_first_trial_that_the_space_never_draws_is_left_out_and_said(prepared):
    told = []
    found, _ = prepared("schedule.first_trials=[{lr: 0.9, depth: 1}, {lr: 0.01, depth: 1}]", told=told)
    assert found.settings.first_trials == ({"lr": 0.01, "depth": 1},)
    assert told == ["first trials: number 1 is left out, for this space lacks it: lr 0.9 is not 0.004 to 0.04, log"]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["schedule.seed=-1"], "schedule.seed: expected 0 or more, got -1"),
        (["schedule.retries=-1"], "schedule.retries: expected 0 or more, got -1"),
        (["cluster.cpus_per_worker=inf"], "cluster.cpus_per_worker: expected above 0, got inf"),
        (["cluster.gpus_per_worker=nan"], "cluster.gpus_per_worker: expected 0 or more, got nan"),
        (["engine.trunk_cache_gib=inf"], "engine.trunk_cache_gib: expected 0 or more, got inf"),
        (["study=${x}"], "x"),
        (["space.lr=???"], "lr"),
        (["study=???"], "study"),
        (["schedule.trials=${nothing}"], "nothing"),
    ],
)
def test_a_setting_that_is_no_value_is_refused(prepared, words, fault):
    with pytest.raises(ConfigError, match=fault.replace("${", r"\$\{")) as caught:
        prepared(*words)
    assert "\n" not in str(caught.value)


def test_what_a_study_is_begun_as_holds_all_that_makes_results_comparable(prepared):
    found, config = prepared("space.lr={float: [0.001, 0.1], log: true}", "dtype=float32")
    contract = found.contract(config)
    assert contract["sampler"]["name"] == "tpe"
    assert contract["pruner"] == {"name": "asha", "settings": {"brackets": 1}}
    assert contract["space.lr"] == "0.001 to 0.1, log"
    assert set(contract) >= {
        "answer_format", "decoding", "max_answer", "train_utterances", "budget", "grace", "reduction_factor",
        "batch_size", "chunk_updates", "valid_sample", "seed", "space", "dtype", "tokens_per_pass", "compile",
    }  # fmt: skip
    assert not set(contract) & {"trials", "device", "runs", "tracking", "workers", "slots", "study"}


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Folders of transcripts of the same words: valid has 50 new sentences in one, 49 in the other."""
    folders = {}
    for new in (50, 49):
        folder = folders[new] = tmp_path_factory.mktemp(f"new-{new}")
        answers = {"train": ["on", "no", "no no"] * 4, "valid": ["on"] * 3 + ["no on"] * new, "test": ["no", "on no"]}
        for split, of_split in answers.items():
            (folder / f"{split}.txt").write_text("".join(f"1 2 3 <s> {answer}\n" for answer in of_split))
    return folders


def test_new_sentences_decide_where_valid_has_enough_and_it_is_said_and_recorded(prepared, texts):
    words = ["task=asr", "lm=random:2x16x2", "space.verbalizer_base=identity", "schedule.first_trials=[]"]
    found, config = prepared(*words, f"data={texts[50]}")
    assert found.settings.metric == found.contract(config)["metric"] == "valid_char_accuracy_new"
    assert found.corpus_lines[-1] == (
        "sentences: valid has 3 that training has and 50 new ones, test has 1 that training has and 1 new ones; "
        "char_accuracy_new decides"
    )
    found, config = prepared(*words, f"data={texts[49]}")
    assert found.settings.metric == "valid_char_accuracy"
    assert "metric" not in found.contract(config)
    assert found.corpus_lines[-1].endswith(
        "49 new ones, test has 1 that training has and 1 new ones; char_accuracy decides"
    )


def test_a_search_of_chosen_answers_says_nothing_of_parts(prepared):
    found, config = prepared()
    assert found.settings.metric == "valid_accuracy"
    assert "metric" not in found.contract(config)
    assert not any(line.startswith("sentences") for line in found.corpus_lines)


def test_auto_dtype_is_resolved_by_the_hardware_and_a_name_is_kept(prepared):
    assert resolved_dtype(prepared()[1]) in ("float32", "bfloat16")
    assert resolved_dtype(prepared("dtype=bfloat16")[1]) == "bfloat16"


def test_a_long_folder_for_temporary_files_is_told_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", f"/tmp/{'x' * 60}")
    config = load_settings([f"runs={tmp_path}", f"cache={tmp_path}"], Settings)
    with pytest.raises(
        ConfigError, match=r"^RAY_TMPDIR: expected a path of up to \d\d bytes, for Ray's sockets lie b"
    ):
        check_places(config)
    check_places(load_settings([f"runs={tmp_path}", f"cache={tmp_path}", "cluster.address=auto"], Settings))


def test_places_that_cannot_be_used_are_told_together_before_any_work(tmp_path):
    (tmp_path / "file").write_text("")
    words = [f"runs={tmp_path}/file/runs", f"cache={tmp_path}/file", "tracking.uri=http://nowhere.invalid:5000"]
    words.append("cluster.storage=foo://x")
    with pytest.raises(ConfigError) as caught:
        check_places(load_settings(["task=intent", *words], Settings))
    for fault in (
        "runs: expected a folder that can be written",
        "cache: expected",
        "tracking.uri: expected a host",
        "cluster.storage: expected",
    ):
        assert fault in str(caught.value)


LIMITS = parameter_limits(tiny_lm().architecture.layers)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.sampled_from(["layers", "layers/2"])
)
SPECS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["int", "float", "choice", "value", "log", "when", *LIMITS, "x"]), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


@given(raw=st.dictionaries(st.sampled_from([*LIMITS, "nonsense", ""]), SPECS, max_size=5))
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_space_is_read_or_refused_in_one_line(raw):
    try:
        space = read_space(raw, LIMITS, layers=3)
    except ConfigError:
        return
    for r in space.ranges:
        for value in r.values:
            assert LIMITS[r.name].fault(value) == ""
            assert not isinstance(value, float) or math.isfinite(value)
