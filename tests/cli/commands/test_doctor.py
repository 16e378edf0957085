import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest

from sp_search.cli.commands import doctor
from sp_search.cli.settings.compose import load_settings
from sp_search.config import Settings


@pytest.fixture
def settings(tmp_path, space):
    return load_settings([space, f"runs={tmp_path}/a/b", f"cache={tmp_path}"], Settings)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A fairseq that imports at once."""
    imports(monkeypatch, subprocess.CompletedProcess([], 0, "", ""))


def imports(monkeypatch, done: subprocess.CompletedProcess) -> None:
    """Let the import of fairseq end so, in `doctor` alone."""
    monkeypatch.setattr(doctor, "subprocess", SimpleNamespace(run=lambda *_, **__: done))


def found(settings) -> dict[str, tuple[str, str]]:
    return {part: (what, next_step) for part, what, next_step in doctor.findings(settings)}


def test_every_part_is_told_once(settings):
    parts = [part for part, _, _ in doctor.findings(settings)]
    assert parts == ["python", *doctor.PACKAGES, "fairseq", "device", "runs", "cache", "demo"]


def test_a_missing_package_says_how_to_get_it(settings, monkeypatch):
    def version(name):
        if name == "ray":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor, "version", version)
    assert found(settings)["ray"] == ("not installed", "install it with: make setup")
    assert found(settings)["mlflow"] == ("1.0", "")


def test_a_fairseq_that_does_not_import_says_why(settings, monkeypatch):
    broken = subprocess.CompletedProcess([], 1, "", "Traceback\nImportError: no np.compat\n")
    imports(monkeypatch, broken)
    assert found(settings)["fairseq"] == ("ImportError: no np.compat", "try: make setup")


@pytest.mark.parametrize("has_transformers", [True, False])
def test_a_torchaudio_that_can_not_be_loaded_says_what_it_stops(settings, monkeypatch, has_transformers):
    def version(name):
        if name == "transformers" and not has_transformers:
            raise PackageNotFoundError(name)
        return "2.11.1"

    monkeypatch.setattr(doctor, "version", version)
    assert "torchaudio" not in found(settings)
    imports(monkeypatch, subprocess.CompletedProcess([], 1, "", "OSError: Could not load this library\n"))
    what, next_step = found(settings)["torchaudio"]
    assert what.startswith("2.11.1 can't be loaded with torch 2.11.1; sp-search does not need it")
    assert what.endswith(", but `import transformers` fails with it") == has_transformers
    assert next_step.startswith("pip uninstall torchaudio") == has_transformers


def test_a_full_disk_names_the_setting_to_change(settings, monkeypatch):
    monkeypatch.setattr(doctor, "FREE_BYTES", 10**18)
    what, next_step = found(settings)["runs"]
    assert what.startswith(f"{settings.runs}, ")
    assert next_step == "expected 1000000000 GB or more; choose another disk with runs=PATH"


def test_the_exit_code_is_1_only_when_something_needs_a_next_step(settings, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "findings", lambda _: iter([("a", "1.0", "")]))
    assert doctor.run(settings) == 0
    monkeypatch.setattr(doctor, "findings", lambda _: iter([("a", "1.0", ""), ("b", "none", "make it")]))
    assert doctor.run(settings) == 1
    assert capsys.readouterr().out.splitlines()[1:] == ["ok a          1.0", "!! b          none; make it"]


def test_looking_makes_no_folder(settings):
    found(settings)
    assert not settings.runs.exists()


@pytest.mark.slow
def test_doctor_looks_at_this_machine(space):
    command = [sys.executable, "-m", "sp_search.cli", "doctor", space]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "ok fairseq    imports" in done.stdout
    assert done.returncode == int("!!" in done.stdout)


def test_a_folder_that_may_not_be_looked_into_is_a_finding(settings, tmp_path, locked):
    locked(tmp_path / "a")
    what, next_step = found(settings)["runs"]
    assert what == f"{tmp_path}/a/b: expected a path that can be looked at, got Permission denied"
    assert next_step == "choose another folder with runs=PATH"


def test_the_device_of_the_settings_is_measured_and_one_that_torch_lacks_is_a_finding(settings, monkeypatch):
    asked = []
    monkeypatch.setattr(doctor, "matrix_rate", lambda dtype, device: asked.append(device.type) or 1e9)
    monkeypatch.setattr(doctor.torch.cuda, "is_available", lambda: True)
    of_cpu = replace(settings, engine=replace(settings.engine, device="cpu"))
    assert found(of_cpu)["device"][0].startswith("cpu, ")
    assert asked == ["cpu", "cpu"]
    monkeypatch.setattr(doctor.torch.cuda, "is_available", lambda: False)
    what, next_step = found(replace(settings, engine=replace(settings.engine, device="cuda")))["device"]
    assert what == "engine.device: expected auto or cpu where torch finds no GPU, got cuda"
    assert next_step.startswith("say engine.device=auto, or ")
