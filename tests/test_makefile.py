"""The Makefile's promises, with a stand-in for Python that writes down what it is asked to do."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = """#!/bin/sh
# Stands for python: `-m venv` puts a copy of it into the folder, all else is written to log.
case "$1 $2" in
"-c import torchaudio") test ! -e unloadable ;;
"-c import"* | "--version "*) ;;
"-m venv") for folder; do :; done; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python"; echo venv >>log ;;
"-m pip") case "$*" in *uninstall*) echo uninstall >>log ;; *install*) echo install >>log; test ! -e broken ;; esac ;;
*) for word; do printf '<%s>' "$word"; done >>log; echo >>log ;;
esac
"""


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "a project"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").touch()
    (folder / "python").write_text(PYTHON)
    (folder / "python").chmod(0o755)
    return folder


def make(project: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", str(project), *words, "PYTHON=./python"]
    return subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=check)


def log(project: Path) -> list[str]:
    return (project / "log").read_text().splitlines() if (project / "log").exists() else []


def test_the_first_target_sets_up_and_the_second_does_not(project):
    make(project, "search")
    make(project, "export")
    assert log(project) == ["venv", "install", "<-m><sp_search.cli><search>", "<-m><sp_search.cli><export>"]


@pytest.mark.parametrize("target", ["setup", "docs", "dashboard"])
def test_a_torchaudio_that_cannot_be_loaded_is_taken_away_after_every_installation(project, target):
    make(project, "setup")
    (project / "unloadable").touch()
    (project / "runs" / "s").mkdir(parents=True)
    (project / "runs" / "s" / "journal.log").touch()
    if target == "setup":
        os.utime(project / "pyproject.toml", (2**31, 2**31))
    make(project, target, *(["STUDY=s"] if target == "dashboard" else []), check=False)
    done = [line for line in log(project) if "install" in line]
    assert done == ["install", "install", "uninstall"], "the first time it could be loaded"


def documented():
    """(target, variable) of each variable that the list of targets names."""
    lines = re.findall(r"^([a-z-]+):.*?## (.*)$", (ROOT / "Makefile").read_text(), re.M)
    return [(target, name) for target, told in lines for name in re.findall(r"\b([A-Z]+)=", told)]


@pytest.mark.parametrize(("target", "variable"), documented())
def test_a_target_takes_every_variable_that_its_line_in_the_list_names(project, target, variable):
    done = subprocess.run(
        ["make", "-n", "-C", str(project), target, f"{variable}=x", "PYTHON=./python"], capture_output=True, text=True
    )
    assert "reads no such variable" not in done.stderr


def test_a_command_on_a_simulated_cluster_may_be_make_itself(project):
    (project / "cluster").mkdir()
    (project / "cluster" / "laptop.sh").write_text('#!/bin/sh\nexec "$@"\n')
    (project / "cluster" / "laptop.sh").chmod(0o755)
    make(project, "cluster-sim", "NODES=2", "COMMAND=make search TASK=intent PYTHON=./python")
    assert log(project)[-1] == "<-m><sp_search.cli><search><task=intent>"


def test_the_fault_suite_is_run_by_its_own_target_alone(project):
    make(project, "test-faults")
    assert log(project)[-1] == "<-m><pytest><-m><faults><tests/faults><tests/cluster>"


def test_a_changed_pyproject_sets_up_again_in_the_same_environment(project):
    make(project, "setup")
    stamp = (project / ".venv/.stamp").stat().st_mtime
    os.utime(project / "pyproject.toml", (stamp + 1, stamp + 1))
    make(project, "setup")
    assert log(project) == ["venv", "install", "install"]


def test_a_setup_that_failed_leaves_no_stamp_and_is_done_again(project):
    (project / "broken").touch()
    failed = make(project, "search", check=False)
    assert failed.returncode == 2
    assert not (project / ".venv/.stamp").exists()
    (project / "broken").unlink()
    make(project, "search")
    assert log(project) == ["venv", "install", "install", "<-m><sp_search.cli><search>"]


def test_a_setup_that_failed_again_takes_the_old_stamp_away(project):
    make(project, "setup")
    (project / "broken").touch()
    os.utime(project / "pyproject.toml", (2**32, 2**32))
    make(project, "setup", check=False)
    assert not (project / ".venv/.stamp").exists()


def test_an_environment_without_python_is_made_anew(project):
    (project / ".venv/bin").mkdir(parents=True)
    make(project, "setup")
    assert log(project) == ["venv", "install"]


def test_search_passes_what_is_set_and_nothing_else(project):
    make(
        project, "search", "TASK=intent", "LM=../my lm/it's", "TRIALS=3", "OVERRIDES=schedule.seed=1 space.side=[a,b]"
    )
    assert log(project)[-1] == (
        "<-m><sp_search.cli><search><task=intent><lm=../my lm/it's><trials=3><schedule.seed=1><space.side=[a,b]>"
    )


def test_search_passes_every_documented_value(project):
    make(project, "search", *(f"{name}=x" for name in ("TASK", "METHOD", "SPACE", "LM", "DATA", "TRIALS", "STUDY")))
    assert log(project)[-1] == (
        "<-m><sp_search.cli><search><task=x><method=x><space=x><lm=x><data=x><trials=x><study=x>"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("search", "task=keyword"), "task=keyword: make search reads no such variable; say TASK=keyword"),
        (("search", "TSK=a b"), "TSK=a b: make search reads no such variable; say TASK=a b"),
        (
            ("search", "TASK=intent", "lr=1e-3"),
            'lr=1e-3: make search reads no such variable; say OVERRIDES="lr=1e-3" for a setting of sp-search',
        ),
        (("mutants", "TASK=intent"), "TASK=intent: make mutants reads no such variable; it reads FILES PYTHON"),
    ],
)
def test_a_variable_that_a_target_does_not_read_ends_with_2_and_what_to_type(project, words, said):
    done = make(project, *words, check=False)
    assert done.returncode == 2
    assert f"*** {said}.  Stop." in done.stderr
    assert log(project) == []


def test_a_variable_of_the_environment_is_left_alone(project, monkeypatch):
    command = ["make", "-C", str(project), "search", "PYTHON=./python"]
    environment = {"PATH": os.environ["PATH"], "task": "x", "HOME": "/"}
    subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert log(project)[-1] == "<-m><sp_search.cli><search>"


def test_bench_measures_each_setting_on_what_is_set(project):
    make(project, "bench", "LM=../lm", "OVERRIDES=updates=1")
    *lines, slots = log(project)[2:]
    assert slots == "<-m><sp_search.cli><bench><slots>"
    *given, published = lines
    for line in lines:
        assert line.startswith("<-m><sp_search.cli><bench><engine>")
    for line in given:
        assert line.endswith(("<baseline=fairseq><lm=../lm><updates=1>", "<baseline=alone><lm=../lm><updates=1>"))
    assert [depth for line in given for depth in re.findall("<depth=([^>]*)>", line)] == [
        "layers", "layers/2", "layers/4", "layers/2",
    ]  # fmt: skip
    assert "<lm=random:12x1024x16>" in published


def test_the_headline_trains_the_papers_setting_and_searches_a_new_study_on_the_same_part(project):
    (project / "summary").write_text("what came out\n")
    answer = "for word; do case $word in search) echo summary ;; esac; done\n"
    (project / "python").write_text(PYTHON + answer)
    done = make(project, "bench-headline", "DATA=d", "TRIALS=4", "OVERRIDES=a=1", "PAPERS=max_epochs=2")
    papers, search = log(project)[2:]
    assert papers == "<-m><sp_search.cli><bench><papers><train_utterances=6000><data=d><max_epochs=2>"
    schedule = "<trials=4><schedule.budget=24000><schedule.grace=1500>"
    wanted = (
        rf"<-m><sp_search.cli><search><train_utterances=6000>{schedule}<study=headline-[-0-9]{{15}}><data=d><a=1>"
    )
    assert re.fullmatch(wanted, search)
    assert "what came out" in done.stdout


def test_test_lints_then_runs_the_whole_suite(project):
    make(project, "test")
    assert log(project)[2:] == [
        "<-m><ruff><format><--check><--quiet><.>", "<-m><ruff><check><--quiet><.>", "<-m><mypy>",
        "<-m><pytest><--durations=40>",
    ]  # fmt: skip


def test_a_machine_without_a_fitting_python_is_told_in_one_line(project):
    (project / "python").write_text("#!/bin/sh\nexit 1\n")
    done = make(project, "setup", check=False)
    assert done.stderr.startswith("make: expected Python 3.11 or 3.12, got './python'; name one with PYTHON=...\n")


def test_continuous_integration_runs_make_test_without_input(project):
    (project / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", project / ".ci")
    (project / "Makefile").write_text('test:\n\t@read line; echo "CI=$$CI input=$$line"; exit 3\n')
    done = subprocess.run(
        [project / ".ci/run"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        input="a\n",
    )
    assert (done.returncode, done.stdout) == (2, "CI=true input=\n")


def test_the_dashboard_lists_the_studies_alone(project):
    for name in ("a study", "b"):
        (project / "runs" / name).mkdir(parents=True)
        (project / "runs" / name / "journal.log").touch()
    (project / "runs" / "mlartifacts").mkdir()
    (project / "runs" / "mlflow.db").touch()
    done = make(project, "dashboard", check=False)
    assert "make: expected the name of a study, got none; say STUDY=NAME, one of: a study b \n" in done.stderr
