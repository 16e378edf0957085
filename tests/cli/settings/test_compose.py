import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.version import getbase
from hypothesis import given
from hypothesis import strategies as st

from sp_search.cli.settings.compose import compose_values, load_settings
from sp_search.cli.settings.from_dict import leaves
from sp_search.cli.settings.overrides import GROUPS, options, sort_overrides
from sp_search.config import Settings
from sp_search.errors import ConfigError
from sp_search.published.catalogue import LMS


def faults(*words: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load_settings(words, Settings)
    return str(raised.value).split("; ")


def test_the_defaults_are_the_demo_searched_for_intents(space, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    settings = load_settings([space], Settings)
    assert (settings.task.name, settings.lm.name, settings.data.name) == ("intent", "demo", "demo")
    assert settings.study == "intent-demo-demo"
    assert settings.runs == tmp_path / "runs"
    assert not settings.runs.exists()


def test_a_word_changes_its_setting_and_what_is_made_of_it(space, tmp_path):
    settings = load_settings([space, "trials=3", "schedule.seed=9", f"runs={tmp_path}/a b", "task.name=x"], Settings)
    assert (settings.schedule.trials, settings.schedule.seed) == (3, 9)
    assert settings.study == "x-demo-demo"
    assert settings.runs == tmp_path / "a b"


def test_of_two_words_for_one_setting_the_last_holds(space):
    words = [space, "trials=3", "schedule=default", "trials=4", "lm=.", "lm=demo"]
    settings = load_settings(words, Settings)
    assert (settings.schedule.trials, settings.lm.name) == (4, "demo")


def test_a_short_word_is_its_setting_and_the_last_of_both_forms_holds(space):
    words = [space, "batch_size=3", "schedule.batch_size=4", "space.side=top", "side=bottom", "dtype=float32"]
    settings = load_settings(words, Settings)
    assert (settings.schedule.batch_size, settings.space["side"], settings.engine.dtype) == (4, "bottom", "float32")


def test_a_folder_is_an_lm_or_a_corpus_by_its_own_name(space, tmp_path, monkeypatch):
    folder = tmp_path / "it's, my=LM (2)"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    settings = load_settings([space, f"lm={folder.name}", f"data={folder}/../{folder.name}"], Settings)
    assert (settings.lm.name, settings.lm.path) == (folder.name, folder)
    assert (settings.data.name, settings.data.path) == (folder.name, folder)


def test_a_checkpoint_goes_by_the_name_of_its_folder(space, tmp_path):
    checkpoint = tmp_path / "gslm" / "checkpoint_best.pt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    settings = load_settings([space, f"lm={checkpoint}"], Settings)
    assert (settings.lm.name, settings.lm.path) == ("gslm", checkpoint)


def test_a_published_lm_goes_by_its_name(space):
    settings = load_settings([space, "lm=gslm_hubert100"], Settings)
    assert (settings.lm.name, settings.lm.path) == ("gslm_hubert100", None)
    assert settings.study == "intent-gslm_hubert100-demo"


def test_a_space_is_read_from_a_file_and_changed_by_words(space):
    words = [space, "space.lr.high=0.01", "space.side=[top,bottom]", "~space.depth"]
    assert load_settings(words, Settings).space == {
        "lr": {"low": 1e-4, "high": 0.01, "log": True},
        "side": ["top", "bottom"],
    }


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("trial=3", "trial: no such setting; did you mean trials?"),
        ("TASK=intent", "TASK: no such setting; did you mean task?"),
        ("seed=3", "seed: no such setting; did you mean units.fit.seed or schedule.seed?"),
        ("schedule.batchsize=8", "schedule.batchsize: no such setting; did you mean schedule.batch_size?"),
        ("intent", "intent: expected key=value; did you mean task=intent or space=intent?"),
        ("trials", "trials: expected key=value; say trials=..."),
        ("--batch-size", "--batch-size: expected key=value; settings have no dashes, say batch_size=..."),
        ("--trials=5", "--trials: no such setting; settings have no dashes, say trials=5"),
        ("lr=1e-3", "lr: no such setting; it is searched: say space.lr=1e-3 to fix it"),
        (
            "schedule.trials=1,2",
            "schedule.trials: expected one value, got 1,2; a list is written schedule.trials=[1,2]",
        ),
        ("schedule.trials=", "schedule.trials: expected a whole number, got ''"),
        ("schedule.trials=x", "schedule.trials: expected a whole number, got 'x'"),
        ("schedule.seed=null", "schedule.seed: expected a whole number, got null"),
        ("engine.dtype=fp16", "engine.dtype: expected auto or float32 or bfloat16, got 'fp16'"),
        ("task=intents", f"task: expected {' or '.join(options('task'))}, got 'intents'; did you mean intent?"),
        (
            "lm=gslm_huber100",
            f"lm: expected demo or {' or '.join(LMS)} or a folder or checkpoint that exists, got 'gslm_huber100'; "
            "did you mean gslm_hubert100?",
        ),
        ("data=dmeo", "data: expected demo or a folder that exists, got 'dmeo'; did you mean demo?"),
        ("schedule=", "schedule: expected default or written or a YAML file that exists, got ''"),
        ("cluster=", f"cluster: expected {' or '.join(options('cluster'))}, got ''"),
        ("data.train_utterances=-1", "data.train_utterances: expected 0 or more, got -1"),
        ("study=a/b", "study: expected a folder's name, in one line without /, got 'a/b'"),
        ("study=a\nb", r"study: expected a folder's name, in one line without /, got 'a\nb'"),
        ("units.fit.seed=-1", "units.fit.seed: expected 0 to 4294967295, got -1"),
        ("tracking.uri=", "tracking.uri: expected a server, a database or null, got an empty text"),
        ("engine.threads=2000", "engine.threads: expected at most 1024, got 2000"),
        ("study=" + "a" * 256, "study: expected a name of up to 255 bytes, got one of 256; say study=NAME"),
        ("study=" + os.fsdecode(b"caf\xe9"), "study: expected text in UTF-8, got 'caf' and a byte that is none"),
        (
            "study=${trails}",
            "study: expected values that can be put together, got: Interpolation key 'trails' not found",
        ),
        ("schedule.trials=???", "schedule.trials: expected a value, got ???; say schedule.trials=..."),
        (
            "schedule.confirm=3",
            "schedule.confirm: no such setting; expected one of schedule.confirm.top, schedule.confirm.seeds",
        ),
    ],
)
def test_a_wrong_word_is_told_in_one_line_with_what_is_near(space, word, fault):
    with pytest.raises(ConfigError) as raised:
        load_settings([space, word], Settings)
    assert str(raised.value) == fault


def test_all_wrong_words_are_told_at_once(space):
    assert faults(space, "lm=nowhere", "foo.bar=3", "x") == [
        f"lm: expected {' or '.join(options('lm'))} or a folder or checkpoint that exists, got 'nowhere'",
        "foo.bar: no such setting",
        "x: expected key=value",
    ]
    assert faults("task", "=", "intent") == ["task = intent: expected no blanks around =", "say task=intent"]
    assert faults("task=", "intent", "trials", "=3") == [
        "task = intent: expected no blanks around =",
        "say task=intent",
        "trials = 3: expected no blanks around =",
        "say trials=3",
    ]
    assert faults(space, "trials=0", "engine.threads=0", "cluster.slots=0.5") == [
        "schedule.trials: expected 1 or more, got 0",
        "engine.threads: expected 1 or more, got 0",
        "cluster.slots: expected a whole number or null, got 0.5",
    ]


def test_a_file_that_is_no_space_is_named(tmp_path):
    (tmp_path / "space.yaml").write_text("- a\n")
    (fault,) = faults(f"space={tmp_path / 'space.yaml'}")
    assert fault == f"{tmp_path / 'space.yaml'}: expected a mapping of ranges, got a list"


@dataclass(frozen=True, kw_only=True)
class WithKeysOfItsOwn(Settings):
    prompt: Path
    input: str = "-"


def test_a_command_takes_keys_of_its_own(space, tmp_path):
    settings = load_settings([space, f"prompt={tmp_path}/a"], WithKeysOfItsOwn)
    assert (settings.prompt, settings.input) == (tmp_path / "a", "-")


def test_a_key_that_a_command_must_be_given_is_asked_for(space):
    with pytest.raises(ConfigError, match=r"^prompt: expected a value, got none; say prompt=\.\.\.$"):
        load_settings([space], WithKeysOfItsOwn)


def test_an_empty_variable_of_the_environment_is_as_good_as_none(monkeypatch):
    for value, cache, uri in (("", "~/.cache", "http://127.0.0.1:5000"), ("/x", "/x", "/x")):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", value)
        settings = load_settings(["tracking=server"], Settings)
        assert (settings.cache, settings.tracking.uri) == (Path(cache, "sp_search").expanduser(), uri)


@given(st.text().filter(lambda text: text != "null"))
def test_a_text_is_taken_as_typed_whatever_signs_it_has(text):
    assert sort_overrides([f"study={text}"], Settings).texts == {"study": text}


def test_a_setting_of_a_section_that_may_be_null_is_set_alone(space):
    assert load_settings([space, "units=hubert", "units.encoder.layer=9"], Settings).units.encoder.layer == 9
    assert load_settings([space, "units.signal.kind=mfcc"], Settings).units.signal.kind == "mfcc"
    with pytest.raises(ConfigError, match=r"^units\.encoder\.kind: expected a value, got none; "):
        load_settings([space, "units.encoder.layer=9"], Settings)
    with pytest.raises(ConfigError, match=r"^units\.encoder\.layers: no such setting"):
        load_settings([space, "units.encoder.layers=9"], Settings)


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_of_every_group_makes_settings(group, space):
    for option in options(group):
        load_settings([space, f"{group}={option}"], Settings)


def test_the_files_hold_a_value_for_every_setting_so_that_help_can_show_it(space):
    values = compose_values([space], Settings)
    for key in leaves(Settings):
        section = values
        for part in key.split("."):
            assert part in section, key
            section = section[part]


def test_a_caller_who_has_initialised_hydra_keeps_it_as_it_was(tmp_path):
    (tmp_path / "own.yaml").write_text("speed: 3\n")
    with initialize_config_dir(str(tmp_path), version_base="1.2"):
        theirs = GlobalHydra.instance()
        assert load_settings(["trials=5"], Settings).schedule.trials == 5
        assert GlobalHydra.instance() is theirs
        assert compose("own").speed == 3
        assert str(getbase()) == "1.2"


def test_another_packages_schema_named_config_does_not_meddle(monkeypatch):
    """fairseq stores one as soon as it is imported."""
    store = ConfigStore.instance()
    monkeypatch.setattr(store, "repo", dict(store.repo))
    store.store(name="config", node={"engine": {"speed": 1}, "defaults": []})
    load_settings([], Settings)
    assert "config.yaml" in store.repo
