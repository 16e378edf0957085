import re

import pytest

from sp_search.engine.trial.hparams import TrialHParams, parameter_limits
from sp_search.errors import ConfigError
from sp_search.prompts.settings import PromptSettings
from tests.tiny import tiny_lm

NEEDED = dict(prompt_length=5, depth=2, lr=0.01)

BAD_VALUES = {
    "lr 0": (dict(lr=0.0), "trial parameters: lr: expected above 0, got 0.0"),
    "lr not a number": (dict(lr=float("nan")), "trial parameters: lr: expected above 0, got nan"),
    "verbalizer_dropout": (
        dict(verbalizer_dropout=1.0),
        "trial parameters: verbalizer_dropout: expected 0 or more and below 1, got 1.0",
    ),
    "warmup": (dict(warmup=1.0), "trial parameters: warmup: expected 0 or more and below 1, got 1.0"),
    "max_source_units": (dict(max_source_units=-1), "trial parameters: max_source_units: expected 0 or more, got -1"),
    "schedule": (
        dict(schedule="cosine"),
        "trial parameters: schedule: expected constant or warmup_decay, got 'cosine'",
    ),
    "head_init": (
        dict(head_init="normal"),
        "trial parameters: head_init: expected identity or uniform, got 'normal'",
    ),
    "loss_scale": (dict(loss_scale="mean"), "trial parameters: loss_scale: expected scored or tokens, got 'mean'"),
    "a prompt's": (dict(prompt_length=0), "trial parameters: prompt_length: expected 1 to 1024, got 0"),
    "an unknown name": (
        dict(promt_length=5),
        "trial parameters: promt_length: expected one of ['averaging', 'depth', ",
    ),
    "a word for a number": (dict(lr="high"), "trial parameters: lr: expected a number, above 0, got 'high'"),
    "a fraction for a count": (
        dict(prompt_length=2.5),
        "trial parameters: prompt_length: expected a whole number, 1 to 1024, got 2.5",
    ),
    "a truth for a count": (
        dict(depth=True),
        "trial parameters: depth: expected a whole number, 0 or more, got true",
    ),
    "a truth for a number": (dict(lr=True), "trial parameters: lr: expected a number, above 0, got true"),
    "a number for a truth": (
        dict(score_separator=1),
        "trial parameters: score_separator: expected true or false, got 1",
    ),
    "method": (dict(method="lora"), "method: expected prompt, finetune, probe, got 'lora'"),
    "a prompt's in another method": (
        dict(method="finetune"),
        "trial parameters: prompt_length: expected none with method=finetune, got 5; depth: expected none with",
    ),
    "a verbalizer's in a probe": (
        dict(method="probe", verbalizer="linear"),
        "trial parameters: prompt_length: expected none with method=probe, got 5; depth: expected none with "
        "method=probe, got 2; verbalizer: expected none with method=probe, got 'linear'",
    ),
    "a probe's in a prompt": (
        dict(pooling="last"),
        "trial parameters: pooling: expected none with method=prompt, got 'last'",
    ),
    "a number for a word": (dict(side=3), "trial parameters: side: expected top or bottom, got 3"),
}


@pytest.mark.parametrize(("changes", "message"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_bad_parameter_is_refused(changes, message):
    with pytest.raises(ConfigError, match="^" + re.escape(message)):
        TrialHParams.from_params({**NEEDED, **changes})


@pytest.mark.parametrize("missing", NEEDED)
def test_a_parameter_without_a_default_must_be_given(missing):
    params = {name: value for name, value in NEEDED.items() if name != missing}
    with pytest.raises(ConfigError, match=f"^trial parameters: {missing}: expected a value, got none$"):
        TrialHParams.from_params(params)


def test_all_faults_are_told_at_once():
    with pytest.raises(ConfigError, match=r"^trial parameters: lr: .*; warmup: .*; schedule: [^;]*$"):
        TrialHParams.from_params({**NEEDED, "lr": -1.0, "warmup": 2.0, "schedule": "cosine"})


def test_parameters_go_to_the_record_that_has_them():
    settings = TrialHParams.from_params({**NEEDED, "dropout": 0.2, "verbalizer": "linear", "warmup": 0.3})
    assert settings.prompt == PromptSettings(prompt_length=5, depth=2, dropout=0.2)
    assert (settings.lr, settings.verbalizer, settings.warmup) == (0.01, "linear", 0.3)


def test_a_whole_number_is_a_number():
    assert TrialHParams.from_params({**NEEDED, "lr": 1}).lr == 1


@pytest.mark.parametrize("method", ["finetune", "probe"])
def test_other_methods_have_no_prompt_and_need_none(method):
    settings = TrialHParams.from_params(dict(method=method, lr=0.01))
    assert settings.prompt is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(probe_layer=0), "trial parameters: probe_layer: expected 1 or more, got 0"),
        (dict(pooling="max"), "trial parameters: pooling: expected mean"),
    ],
)
def test_a_bad_parameter_of_a_probe_is_refused(changes, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        TrialHParams.from_params(dict(method="probe", lr=0.01, **changes))


def test_every_setting_may_be_searched():
    assert set(parameter_limits(tiny_lm().architecture.layers)) == {
        "prompt_length", "depth", "side", "position", "init", "init_scale", "dropout", "averaging",
        "lr", "verbalizer", "verbalizer_seed", "verbalizer_base", "head_init", "verbalizer_dropout", "schedule",
        "warmup", "score_separator", "score_end", "loss_scale", "label_smoothing", "max_source_units",
        "method", "probe_layer", "pooling", "ngrams", "sublinear_tf", "min_df", "C",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("depth", 4, "expected 0 to 3, got 4"),
        ("probe_layer", 4, "expected 1 to 3, got 4"),
        ("prompt_length", 10**6, "expected 1 to 1024, got 1000000"),
        ("lr", float("nan"), "expected above 0, got nan"),
        ("lr", float("inf"), "expected above 0, got inf"),
        ("position", "foo", "expected prefix, infix or both, got 'foo'"),
        ("verbalizer", "nonsense", "expected frequency, random, .* or linear, got 'nonsense'"),
        ("score_end", 1, "expected true or false, got 1"),
    ],
)
def test_a_parameter_is_held_to_its_lm(name, value, fault):
    found = parameter_limits(tiny_lm().architecture.layers)[name].fault(value)
    assert re.fullmatch(fault, found)
