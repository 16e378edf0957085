"""What is installed: the wheel holds all that the program needs, and runs from any folder."""

import email
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
NOT_INSTALLED = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, made of a copy of the sources, and the folder that it is unpacked in."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("sp_search", "search_spaces"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=NOT_INSTALLED)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, "."]
    subprocess.run(command, cwd=folder / "source", check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


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
def test_the_wheel_plans_a_search_of_the_demo_from_any_folder(wheel, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(wheel), "XDG_CACHE_HOME": str(tmp_path)}
    where = "import sp_search.cli.main as m, sys; print(m.__file__); sys.exit(m.main(['plan', 'task=intent']))"
    command = [sys.executable, "-c", where]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    first, *rest = done.stdout.splitlines()
    assert Path(first).is_relative_to(wheel)
    assert rest[0].startswith("study intent-demo-demo: 24 trials, ")


def test_version_and_licence_are_the_same_wherever_they_stand():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project["version"]
    assert citation["license"] == project["license"] == "MIT"
    assert citation["authors"] == project["authors"]
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n")
    assert f"## {project['version']}\n" in (ROOT / "CHANGELOG.md").read_text()
