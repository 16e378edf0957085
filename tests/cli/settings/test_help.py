"""Help and tab completion: both are made from one record of each command."""

import shutil
import subprocess
from importlib import import_module
from typing import get_type_hints

import pytest

from sp_search.cli.main import COMMANDS
from sp_search.cli.settings.comments import record_comments, yaml_comments
from sp_search.cli.settings.completion import completion_script
from sp_search.cli.settings.compose import compose_values
from sp_search.cli.settings.from_dict import leaves
from sp_search.cli.settings.help import WIDTH, command_help
from sp_search.cli.settings.overrides import GROUPS, SHORT
from sp_search.cli.settings.reference import command_reference, default_options
from sp_search.config import Settings
from sp_search.errors import ConfigError


def reference_of(name):
    command = import_module(f"sp_search.cli.commands.{name.replace(' ', '_')}")
    return command_reference(
        name, command, get_type_hints(command.run)["config"], getattr(command, "STARTS_FROM", ())
    )


@pytest.fixture(scope="module")
def references():
    return {name: reference_of(name) for name in COMMANDS}


def test_a_comment_in_a_yaml_file_is_that_of_its_key_and_one_in_a_record_stands_in():
    found = yaml_comments("schedule/default.yaml", "schedule.")
    assert found["schedule.grace"] == "training utterances before the first rung, where weak trials stop"
    assert found["schedule.confirm"] == "the best settings are trained again with new seeds"
    assert found["schedule.confirm.seeds"].startswith(
        "runs of a setting; of more than one, a setting that is clearly "
    )
    assert yaml_comments("task/intent.yaml", "task.")["task.answer_format"].startswith(
        "each label is one symbol of an answer; "
    )
    assert yaml_comments("no/such.yaml", "no.") == {}
    of_records = record_comments(Settings)
    assert of_records["schedule.confirm.top"] == "how many of the best settings, 1 or more"
    assert of_records["engine.tokens_per_pass"].startswith("most tokens that go through the LM at once; null = ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_setting_that_a_command_reads_is_listed_with_a_comment(references, name):
    reference = references[name]
    assert [setting.key for setting in reference.settings if not setting.comment] == []
    text = command_help(reference)
    for setting in reference.settings:
        assert f"  {setting.key}=" in text
    assert max(map(len, text.partition("\n\n")[2].splitlines())) <= max(WIDTH, 118)
    assert reference.example.startswith(f"sp-search {name}")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_all_lists_every_setting_once(references, name):
    reference = references[name]
    keys = [setting.key for setting in (*reference.settings, *reference.others)]
    assert len(set(keys)) == len(keys)
    schema = get_type_hints(import_module(f"sp_search.cli.commands.{name.replace(' ', '_')}").run)["config"]
    for key in leaves(schema).keys() - {"space"}:
        assert any(found == key or found.startswith(f"{key}.") for found in keys)
    for setting in reference.others:
        assert f"  {setting.key}=" in command_help(reference, everything=True)
        assert f"  {setting.key}=" not in command_help(reference)


def test_the_help_of_predict_has_what_it_needs_its_values_and_no_setting_of_training(references):
    text = " ".join(command_help(references["predict"]).split())
    assert text.startswith("usage: sp-search predict prompt=... [key=value ...]")
    assert "needed prompt= an exported folder, or several with commas between them" in text
    assert "engine.dtype=auto of the frozen weights: float32, bfloat16, or auto" in text
    assert "schedule." not in text
    assert "cluster." not in text


COMPLETED = {
    "sp-search pre": ["prepare", "predict", "pretrain"],
    "sp-search help sy": ["sync"],
    "sp-search completion z": ["zsh"],
    "sp-search bench sl": ["slots"],
    "sp-search predict in": ["input="],
    "sp-search predict sched": [],
    "sp-search search task=in": ["intent"],
    "sp-search search trials=3 meth": ["method="],
    "sp-search search dtype=b": ["bfloat16"],
    "sp-search search engine.device=": ["auto", "cpu", "cuda"],
    "sp-search init fo": ["form="],
    "sp-search bench engine baseline=f": ["fairseq"],
}


def test_bash_completes_commands_keys_and_values(references, tmp_path):
    script = tmp_path / "completion"
    script.write_text(completion_script("bash", list(references.values())))
    asked = "".join(
        f'COMP_LINE="{line}"; COMP_POINT=${{#COMP_LINE}}; _sp_search; echo "${{COMPREPLY[*]}}"\n'
        for line in COMPLETED
    )
    done = subprocess.run(
        ["bash", "-c", f"source {script}\n{asked}"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert [sorted(line.split()) for line in done.stdout.splitlines()] == [
        sorted(words) for words in COMPLETED.values()
    ]


def test_bash_completes_a_path_where_a_value_is_none_of_a_few(references, tmp_path):
    (tmp_path / "clip.wav").touch()
    (tmp_path / "s").write_text(completion_script("bash", list(references.values())))
    typed = ("predict input=cl", "init cl", *(f"search {group}=cl" for group in ("lm", "data", "space", "schedule")))
    for line in (f"sp-search {words}" for words in typed):
        asked = f'COMP_LINE="{line}"; COMP_POINT=${{#COMP_LINE}}; _sp_search; echo "${{COMPREPLY[*]}}"'
        done = subprocess.run(["bash", "-c", f"source ./s; {asked}"], capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout == "clip.wav\n"


def test_zsh_has_the_same_words(references):
    script = completion_script("zsh", list(references.values()))
    assert script.startswith("#compdef sp-search\n")
    assert '"search task") compadd -- asr intent keyword' in script
    assert '"search data") compadd -- demo; _files ;;' in script
    assert "compadd -S '' -- lm= " in script
    if zsh := shutil.which("zsh"):
        subprocess.run([zsh, "-n"], input=script, text=True, check=True)


def test_another_shell_is_refused(references):
    with pytest.raises(
        ConfigError, match=r"^completion: expected bash or zsh, got 'fish'; say sp-search completion b"
    ):
        completion_script("fish", list(references.values()))


NAMED = {*GROUPS} - {"schedule"}  # one that is named comes after what a task changes


def test_the_options_that_help_shows_are_those_that_a_command_takes():
    assert default_options() == {
        "schedule": "default", "winner": "default", "budget": "default", "task": "intent", "lm": "demo",
        "data": "demo", "units": "logmel", "tracking": "local", "cluster": "laptop", "method": "prompt",
    }  # fmt: skip
    plain = compose_values([], Settings)
    words = [f"{group}={option}" for group, option in default_options().items() if group in NAMED]
    assert plain == compose_values(words, Settings)


def test_every_short_name_is_shown_beside_its_setting(references):
    text = command_help(references["search"])
    for short, full in SHORT.items():
        assert f"short: {short}=" in " ".join(text.split()) or full.startswith("space.")
