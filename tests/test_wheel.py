"""What is installed: the wheel holds all that the program needs, and runs from any folder."""

import email
import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.environments import clean_environment, new_environment
from tests.pages.blocks import DEMO

ROOT = Path(__file__).parents[1]
NOT_INSTALLED = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def wheel_file(tmp_path_factory):
    """The wheel, made of a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("sp_search", "search_spaces"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=NOT_INSTALLED)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, "."]
    subprocess.run(command, cwd=folder / "source", check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel(wheel_file):
    """The folder that the wheel is unpacked in."""
    with zipfile.ZipFile(wheel_file) as archive:
        archive.extractall(wheel_file.parent / "unpacked")
    return wheel_file.parent / "unpacked"


@pytest.mark.slow
def test_the_wheel_holds_every_module_setting_and_asset(wheel):
    for name in ("sp_search", "search_spaces"):
        wanted = {
            path.relative_to(ROOT)
            for path in (ROOT / name).rglob("*")
            if (path.is_file() and path.suffix in (".py", ".yaml", ".typed")) or "assets" in path.parts
        }
        assert {path for path in wanted if (ROOT / path).is_file() and not (wheel / path).is_file()} == set()
    (info,) = wheel.glob("*.dist-info")
    assert (info / "entry_points.txt").read_text().split() == [
        "[console_scripts]", "sp-search", "=", "sp_search.cli.main:main",
    ]  # fmt: skip
    about = email.message_from_string((info / "METADATA").read_text())
    assert about["License-Expression"] == "MIT"
    assert (info / "licenses" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.slow
@pytest.mark.long
def test_the_wheel_in_an_environment_without_the_checkout_searches_the_demo_from_any_folder(wheel_file, tmp_path):
    python = new_environment(tmp_path / "environment")
    variables = clean_environment(python, tmp_path / "cache")

    def run(*command):
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    where = [python, "-c", "import sp_search, search_spaces; print(sp_search.__file__, *search_spaces.__path__)"]
    assert run(*where)[2].endswith("ModuleNotFoundError: No module named 'sp_search'\n")  # so nothing else has it
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--ignore-installed", wheel_file], check=True)
    assert all(Path(path).is_relative_to(tmp_path / "environment") for path in run(*where)[1].split())
    code, out, err = run(python.parent / "sp-search", "search", "task=intent", *DEMO, "tracking.enabled=false")
    assert (code, Path(out.strip())) == (0, tmp_path / "runs/intent-demo-demo/summary.json"), err
    summary = json.loads((tmp_path / "runs/intent-demo-demo/summary.json").read_text())
    assert (summary["task"], summary["lm"]["name"], summary["trials"]["failed"]) == ("intent", "demo", 0)


def test_version_and_licence_are_the_same_wherever_they_stand():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"] == "MIT"
    assert citation["authors"] == project["authors"]
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n")
    assert f"## {project['version']}\n" in (ROOT / "CHANGELOG.md").read_text()
