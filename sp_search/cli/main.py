"""`sp-search COMMAND key=value ...`: finds the command, gives it its settings; `cli.ending` has the exit codes.

Nothing heavy is imported before the command is known. A command is the module `sp_search.cli.commands.NAME`, with `_`
for a blank. Its function `run` has the annotation `config: SETTINGS`, which defines the keys of the command. The
words in a module's `STARTS_FROM` come before the user's words, if the command needs other values than a search. Its
`READS` lists the settings that it reads, by their beginnings, and `EXAMPLE` a line to type. `PLAIN` names the setting
whose value may stand there alone, as in `sp-search init my.csv`. A command whose `run` also takes `words` gets the
words that its settings were made of.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import get_type_hints

from sp_search.cli.ending import exit_code
from sp_search.cli.settings.from_dict import did_you_mean
from sp_search.cli.streams import sound_streams
from sp_search.errors import ConfigError
from sp_search.files.paths import check_current_folder
from sp_search.message import say

COMMANDS = {
    "init": "look at recordings: what is there, what is wrong, and what to type next",
    "prepare": "turn recordings into units, which a search takes as its data",
    "pretrain": "train a unit LM on your own units",
    "search": "search for the best prompt over a frozen unit LM, and test it",
    "plan": "say what a search would do, without doing it",
    "submit": "hand a search to a Ray cluster elsewhere as a job, with all that it reads, and follow it",
    "export": "copy the best prompt of a finished search into a folder of its own",
    "predict": "answer recordings or lines of units with an exported prompt",
    "serve": "answer over HTTP with an exported prompt, on 127.0.0.1",
    "evaluate": "measure an exported prompt on a labelled split, and compare it with models without the LM",
    "report": "draw the page of a search: the winner, curves, which settings mattered, mistakes",
    "status": "say how a search is doing: alive or not, time left, best so far, last error",
    "rerun": "repeat the training of a search or of an exported prompt, and compare the numbers",
    "forget": "delete a search: its folder and its runs in MLflow, all or nothing",
    "ui": "show all trials in MLflow's UI on 127.0.0.1",
    "sync": "send to MLflow what it has not received yet",
    "doctor": "say what this machine has, and what is missing",
    "bench engine": "measure the speed of training, and compare it with fairseq's decoder",
    "bench decode": "measure how fast answers are written, with the key/value cache and without it",
    "bench gpu": "measure a GPU: whether it computes as the CPU does, and how fast it trains many trials",
    "bench serve": "measure how fast a running server answers, to one client and to many",
    "bench members": "measure how fast several prompts answer together",
    "bench curves": "record the learning curves of settings drawn from a whole space",
    "bench strategies": "compare samplers and pruners on recorded learning curves",
    "bench slots": "measure what a trial costs apart from its training, and compare it with a plain Ray Tuner's",
    "bench peft": "measure the speed of training, and compare it with PEFT's",
    "bench papers": "train with the papers' setting through fairseq's decoder, until it stops early",
}
"""All commands with their help, in the order in which a user meets them."""

QUICK = {"search": "wiring.finished_study"}
"""Modules that may answer a command before its own is imported, which takes seconds; None says that they do not."""

COMPLETION_HELP = """usage: sp-search completion bash|zsh

Print a script for tab completion: commands, keys and values.

example:
  sp-search completion bash > ~/.local/share/bash-completion/completions/sp-search
"""

GOES_ON = ("prepare", "pretrain", "search")
"""Commands that continue the work of an interrupted run."""

_HELP, _HELP_ALL, _VERSION = {"-h", "--help"}, "--help-all", {"-V", "--version"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    sound_streams()
    # torch reads this when it is loaded, and Ray's processes inherit it. Threads that spin while they wait for each
    # other starve on a busy machine: 8 trials at once went from 953 utterances/s to 18 (docs/performance.md).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return exit_code(partial(_dispatch, words), goes_on=bool(words) and words[0] in GOES_ON)


def usage() -> str:
    """The help of the program."""
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {about}" for name, about in COMMANDS.items())
    return (
        "usage: sp-search COMMAND [key=value ...]\n\n"
        "Makes one frozen spoken language model do a speech task: trains a small prompt for it, and searches for\n"
        "the settings with which that works best. Begin with sp-search init my.csv, a table of your recordings,\n"
        "or with sp-search search task=intent, which runs on the demo.\n\n"
        f"commands, roughly in the order in which they are used:\n{listed}\n\n"
        "sp-search COMMAND --help shows the settings that a command reads, and an example.\n"
        "sp-search completion bash (or zsh) prints a script for tab completion, sp-search -V the version."
    )


def _dispatch(words: list[str]) -> int:
    if not words:
        print(usage(), file=sys.stderr)
        return 2
    if words[0] == "help":
        words = [*words[1:], "--help"]
    if words[0] in _HELP:
        print(usage())
        return 0
    if words[0] in _VERSION:
        print(f"sp-search {_version()}")
        return 0
    if words[0] == "completion":
        print(COMPLETION_HELP if {*words[1:]} & {*_HELP, _HELP_ALL} else _completion(words[1:]), end="")
        return 0
    parts = [known for known in COMMANDS if known.startswith(f"{words[0]} ")]
    if parts and (len(words) == 1 or words[1] in _HELP):
        print("\n".join(f"sp-search {known:<14}  {COMMANDS[known]}" for known in parts))
        return 0
    length = 2 if parts else 1
    name, overrides = " ".join(words[:length]), words[length:]
    check_current_folder()
    if name not in COMMANDS:
        known = [*COMMANDS, "completion", "help"]
        raise ConfigError(f"command: expected one of {', '.join(known)}, got {name}{did_you_mean(name, known)}")
    if name in QUICK and not {*overrides} & {*_HELP, _HELP_ALL}:
        code = _part(QUICK[name]).answered(overrides)
        if code is not None:
            return int(code)
    command, schema = _command(name)
    overrides = _with_key(overrides, getattr(command, "PLAIN", ""))
    starts = list(getattr(command, "STARTS_FROM", ()))
    if asked := {*overrides} & {*_HELP, _HELP_ALL}:
        given = [*starts, *(word for word in overrides if word not in asked)]
        reference = _part("settings.reference").command_reference(name, command, schema, given)
        print(_part("settings.help").command_help(reference, everything=_HELP_ALL in asked))
        return 0
    fetch = _part("settings.overrides").is_read("cache", command.READS)  # a command without it reads no LM
    config = _part("settings.compose").load_settings([*starts, *overrides], schema, fetch=fetch)
    for key in _part("settings.overrides").unread_words(overrides, command.READS, schema):
        say(f"{name} does not read {key}, so it changes nothing here")
    if "words" in get_type_hints(command.run):
        return int(command.run(config, [*starts, *overrides]))
    return int(command.run(config))


def _with_key(words: list[str], key: str) -> list[str]:
    """The words of a command, with `KEY=` before the first one if it is a value alone."""
    if not key or not words or "=" in words[0] or words[0].startswith("-"):
        return words
    return [f"{key}={words[0]}", *words[1:]]


def _command(name: str) -> tuple[ModuleType, type]:
    """The module of a command, and the record of its settings."""
    command = _part(f"commands.{name.replace(' ', '_')}")
    return command, get_type_hints(command.run)["config"]


def _completion(words: list[str]) -> str:
    reference = _part("settings.reference").command_reference
    references = [reference(name, *_command(name)) for name in COMMANDS]
    script: str = _part("settings.completion").completion_script(words[0] if words else "", references)
    return script


def _version() -> str:
    try:
        return version("sp-search")
    except PackageNotFoundError as error:
        raise ConfigError(
            "version: expected sp-search to be installed, found its source alone; run make setup"
        ) from error


def _part(name: str) -> ModuleType:
    return importlib.import_module(f"sp_search.cli.{name}")
