import errno
import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from ray.exceptions import RayTaskError

from sp_search.cli import main as cli
from sp_search.cli.main import COMMANDS, main
from sp_search.config import Settings
from sp_search.errors import DataError

FOLDER = Path(cli.__file__).parent / "commands"


def module_name(command: str) -> str:
    return command.replace(" ", "_")


@pytest.fixture
def command(monkeypatch):
    """A command `try` whose `run` a test sets; the settings it was given are kept in `seen`."""
    module = ModuleType("sp_search.cli.commands.try", "Try a thing.")
    module.seen, module.READS, module.EXAMPLE = [], ("task", "data", "space", "schedule", "units"), "sp-search try"

    def run(config: Settings) -> int:
        module.seen.append(config)
        return module.end()

    module.run, module.end = run, lambda: 0
    monkeypatch.setitem(sys.modules, "sp_search.cli.commands.try", module)
    monkeypatch.setitem(COMMANDS, "try", "try a thing")
    return module


def test_help_lists_every_command_with_what_it_does(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for name, about in COMMANDS.items():
        assert f"  {name:<{max(map(len, COMMANDS))}}  {about}" in printed


def test_help_takes_less_than_half_a_second_of_the_processor():
    before = os.times()
    subprocess.run([sys.executable, "-m", "sp_search.cli", "--help"], check=True, capture_output=True)
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 0.5


def test_without_a_command_the_help_goes_to_stderr(capsys):
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage: sp-search COMMAND [key=value ...]\n")


def test_a_command_runs_with_its_settings_and_its_result_is_the_exit_code(command, space):
    command.end = lambda: 1
    assert main(["try", space, "trials=5"]) == 1
    assert [config.schedule.trials for config in command.seen] == [5]


def test_a_command_may_have_two_words_and_values_of_its_own_that_the_users_words_change(monkeypatch, command, space):
    monkeypatch.setitem(sys.modules, "sp_search.cli.commands.try_hard", command)
    monkeypatch.setitem(COMMANDS, "try hard", "try a thing hard")
    command.STARTS_FROM = ("schedule.batch_size=32", "trials=1")
    assert main(["try", "hard", space, "trials=5"]) == 0
    assert [(c.schedule.trials, c.schedule.batch_size) for c in command.seen] == [(5, 32)]


def test_the_help_of_a_command_shows_groups_and_values_and_runs_nothing(command, space, capsys):
    assert main(["try", "trials=5", "--help", space]) == 0
    printed = capsys.readouterr().out
    assert command.seen == []
    assert printed.startswith("usage: sp-search try [key=value ...]\n\nTry a thing.\n")
    words = " ".join(printed.split())
    assert "data=demo demo, or a folder now: The synthesised spoken commands in the package." in words
    assert "schedule.trials=5 settings to try in total; a study that is started again goes on to this number" in words
    assert "units.signal.mels=80" in words
    assert "space.lr={low: 0.0001, high: 0.06, log: true} learning rate, above 0" in words
    assert "example: sp-search try" in words
    assert "tracking" not in words
    assert main(["try", "--help-all", space]) == 0
    assert "tracking.enabled=true" in capsys.readouterr().out


def test_the_help_of_a_group_without_a_value_is_refused_in_one_line(command, capsys):
    assert main(["try", "task", "--help"]) == 2
    assert capsys.readouterr().err == "sp-search: task: expected key=value; say task=...\n"


def test_a_setting_that_a_command_does_not_read_is_named_and_the_command_runs(command, space, capsys):
    assert main(["try", space, "engine.threads=1", "trials=5", "lm=demo"]) == 0
    assert len(command.seen) == 1
    assert capsys.readouterr().err == (
        "sp-search: try does not read engine.threads, so it changes nothing here\n"
        "sp-search: try does not read lm, so it changes nothing here\n"
    )


@pytest.mark.parametrize("words", [["help"], ["--help"], ["-h"]])
def test_help_is_had_by_any_of_its_words(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("usage: sp-search COMMAND [key=value ...]\n")


def test_help_of_a_command_is_that_of_its_option(command, capsys):
    printed = []
    for words in (["help", "try"], ["try", "--help"]):
        assert main(words) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_a_command_of_several_lists_them(capsys):
    assert main(["bench"]) == main(["bench", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:3] for line in lines[: len(lines) // 2]] == [
        name.split() for name in COMMANDS if name.startswith("bench ")
    ]


def test_a_mistyped_command_ends_with_2_and_one_line_that_names_the_nearest(command, capsys):
    assert main(["tri"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    known = ", ".join([*COMMANDS, "completion", "help"])
    assert err == f"sp-search: command: expected one of {known}, got tri; did you mean try?\n"
    assert main(["complete"]) == 2
    assert capsys.readouterr().err.endswith(", got complete; did you mean completion?\n")


@pytest.mark.parametrize("words", [["help", "completion"], ["completion", "--help"], ["completion", "bash", "-h"]])
def test_completion_has_a_help_too(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("usage: sp-search completion bash|zsh\n")


def test_a_mistyped_second_word_finds_its_neighbour(capsys):
    assert main(["bench", "engin", "trials=1"]) == 2
    assert capsys.readouterr().err.endswith(", got bench engin; did you mean bench engine?\n")


def test_a_wrong_setting_ends_with_2_and_one_line(command, space, capsys):
    assert main(["try", space, "trials=x"]) == 2
    assert capsys.readouterr().err == "sp-search: schedule.trials: expected a whole number, got 'x'\n"


def test_a_users_mistake_ends_with_2_and_one_line_however_it_was_told(command, space, capsys):
    command.end = lambda: _raise(DataError("train.txt:\n  line 3: expected units, got none\n  line 9: the same"))
    assert main(["try", space]) == 2
    assert capsys.readouterr().err == ("sp-search: train.txt: line 3: expected units, got none line 9: the same\n")


def test_a_users_mistake_that_was_raised_in_a_worker_is_the_same_line(command, space, capsys):
    raised = DataError("state.pt: expected it whole")
    fault = RayTaskError("report", "Traceback (most recent call last):\n ...", raised)
    command.end = lambda: _raise(fault.as_instanceof_cause())
    assert main(["try", space]) == 2
    assert capsys.readouterr().err == "sp-search: state.pt: expected it whole\n"


def test_an_interruption_ends_with_130(command, space, capsys):
    command.end = lambda: _raise(KeyboardInterrupt())
    assert main(["try", space]) == 130
    assert capsys.readouterr().err == "sp-search: interrupted\n"


def test_an_interrupted_search_says_that_it_goes_on(command, space, capsys, monkeypatch):
    monkeypatch.setattr("sp_search.cli.main.GOES_ON", ("try",))
    command.end = lambda: _raise(KeyboardInterrupt())
    assert main(["try", space]) == 130
    assert capsys.readouterr().err == "sp-search: interrupted; the same command goes on from here\n"


@pytest.mark.parametrize("words", [("--help",), ("export", "--help")], ids=["short", "long"])
def test_who_stops_reading_ends_a_command_without_a_word(words):
    command = [sys.executable, "-m", "sp_search.cli", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141


def test_a_full_disk_ends_with_2_and_one_line_and_another_fault_of_the_system_keeps_its_traceback(
    command, space, capfd, monkeypatch
):
    monkeypatch.setattr("sp_search.cli.main.GOES_ON", ("try",))
    monkeypatch.setattr("sp_search.cli.ending._write_no_more", lambda: None)
    command.end = lambda: _raise(OSError(errno.ENOSPC, "No space left on device", "/x/journal.log"))
    assert main(["try", space]) == 2
    assert capfd.readouterr().err == (
        "sp-search: /x/journal.log: expected room on the disk, got No space left on device; free some; the same "
        "command goes on from here\n"
    )
    command.end = lambda: _raise(PermissionError(errno.EACCES, "Permission denied", "/x"))
    with pytest.raises(PermissionError):
        main(["try", space])


def test_a_full_disk_behind_stdout_is_one_line():
    command = [sys.executable, "-m", "sp_search.cli", "--help"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2, "sp-search: expected room on the disk, got No space left on device; free some\n"
    )  # fmt: skip


def test_a_broken_pipe_that_is_not_the_output_is_a_fault_of_ours(command, space):
    command.end = lambda: _raise(BrokenPipeError())
    with pytest.raises(BrokenPipeError):
        main(["try", space])


def test_a_fault_of_ours_keeps_its_traceback(command, space):
    command.end = lambda: _raise(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["try", space])


def test_version_names_the_program(monkeypatch, capsys):
    monkeypatch.setattr(cli, "version", lambda name: {"sp-search": "1.2"}[name])
    for word in ("--version", "-V"):
        assert main([word]) == 0
        assert capsys.readouterr().out == "sp-search 1.2\n"


def test_every_module_of_the_group_is_a_listed_command():
    assert {path.stem for path in FOLDER.glob("*.py")} - {"__init__"} == set(map(module_name, COMMANDS))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_a_short_module_with_a_docstring_and_run(name):
    module = importlib.import_module(f"sp_search.cli.commands.{module_name(name)}")
    assert module.__doc__
    assert module.run.__annotations__["return"] in (int, "int")
    assert len((FOLDER / f"{module_name(name)}.py").read_text().splitlines()) < 180


def _raise(error: BaseException) -> int:
    raise error
