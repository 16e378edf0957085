import os
import subprocess

import pytest

from sp_search.tracking.base.provenance import GitState, git_state, versions


def git(folder, *arguments):
    """git in this folder alone: a git hook exports GIT_DIR, which would turn every command on its repository."""
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", folder, *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout.strip()


@pytest.fixture
def tracked(tmp_path):
    file = tmp_path / "package" / "module.py"
    file.parent.mkdir()
    file.write_text("x = 1\n")
    (tmp_path / ".gitignore").write_text(".venv/\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    return file


def test_a_clean_repository_gives_its_commit(tracked, tmp_path):
    assert git_state(tracked) == GitState(git(tmp_path, "rev-parse", "HEAD"), "false")


def test_a_git_hook_of_another_repository_does_not_lend_its_commit(tracked, tmp_path, monkeypatch):
    other = tmp_path.parent / f"{tmp_path.name}-other"
    (other / "package").mkdir(parents=True)
    (other / "package" / "module.py").write_text("y = 1\n")
    git(other, "init", "-q")
    git(other, "add", ".")
    git(other, "commit", "-qm", "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert git_state(tracked) == GitState(git(tmp_path, "rev-parse", "HEAD"), "false")


@pytest.mark.parametrize("name", ["module.py", "new.py"])
def test_a_changed_or_new_file_makes_it_dirty(tracked, name):
    (tracked.parent / name).write_text("x = 2\n")
    assert git_state(tracked).dirty == "true"


def test_a_package_installed_inside_somebodys_repository_is_not_of_its_commit(tracked, tmp_path):
    installed = tmp_path / ".venv" / "module.py"
    installed.parent.mkdir()
    installed.write_text("x = 1\n")
    assert git_state(installed) == GitState("unknown", "unknown")


def test_without_a_repository_or_git_nothing_is_known(tmp_path, monkeypatch):
    (tmp_path / "module.py").write_text("")
    assert git_state(tmp_path / "module.py") == GitState("unknown", "unknown")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state() == GitState("unknown", "unknown")


def test_versions_are_told_without_an_import():
    found = versions()
    assert set(found) == {"python", "torch", "ray", "optuna", "mlflow", "fairseq", "sp_search"}
    assert found["fairseq"] == "0.12.3"
