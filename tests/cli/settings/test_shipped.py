"""What a job takes along: the package, and a command line that means the same on another machine."""

import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from sp_search.cli.commands.submit import OWN
from sp_search.cli.settings.compose import load_settings
from sp_search.cli.settings.overrides import last_of_each_key
from sp_search.cli.settings.shipped import check_words, command_line, shipped
from sp_search.config import Settings
from sp_search.errors import ConfigError
from sp_search.lm.zoo import files_of, load_lm
from sp_search.tracking.base.provenance import git_state
from sp_search.units.manifest import files_of as corpus_files
from tests.tiny import write_tiny_corpus
from tests.transformers_models import CONFIGS, save_as_slamkit, tiny_model, write_tokeniser


@pytest.fixture
def words(tmp_path):
    write_tiny_corpus(tmp_path / "my units")
    (tmp_path / "my units" / ".hidden").write_text("x")
    return [
        "cluster=ray", "task=intent", "study=first", "lm=random:2x32x2", f"data={tmp_path}/my units", "follow=false",
        f"runs={tmp_path}/runs", f"storage={tmp_path}/store",
    ]  # fmt: skip


def line_of(words, tmp_path):
    """The words of the job, behind `cd / && exec python -P -m sp_search.cli search`."""
    (tmp_path / "job").mkdir()
    shipped(tmp_path / "job")
    line = command_line(last_of_each_key(words), OWN, f"{tmp_path}/store", tmp_path / "job", lambda _: None)
    assert line.startswith("cd / && exec python -P -m sp_search.cli search ")
    return shlex.split(line)[9:]


def loaded(words):
    return load_settings([word for word in words if word.partition("=")[0].lstrip("+") not in OWN], Settings)


@pytest.mark.parametrize(
    "more",
    [
        [], ["trials=5", "space.depth=2", "~space.side"], ["data.name=other"], ["lm.unit_offset=null"],
        ["+trials=5", "trials=6", "+follow=true", "+storage=elsewhere"], ["data=demo", "task=asr"],
        ["data=demo", "data.path={folder}/my units"], ["data.path={folder}/my units", "task=slots"],
        ["+data.path={folder}/my units"], ["space=missing.yaml", "space=slots"],
    ],
    ids=str,
)  # fmt: skip
def test_the_command_line_makes_the_same_settings_but_for_places(words, tmp_path, more):
    words = [*words, *(word.format(folder=tmp_path) for word in more)]
    here, there = loaded(words), loaded(line_of(words, tmp_path))
    assert replace(there, data=here.data) == here
    assert there.data.name == here.data.name
    if here.data.path is not None:
        assert there.data.path.parents[2] == tmp_path / "store"
        assert sorted(path.name for path in there.data.path.iterdir()) == ["test.txt", "train.txt", "valid.txt"]


def test_words_that_a_search_does_not_read_are_left_out(tmp_path):
    (tmp_path / "job").mkdir()
    shipped(tmp_path / "job")
    line = command_line(["units=u.yaml", "task=intent"], (*OWN, "units"), "/store", tmp_path / "job", print)
    assert shlex.split(line)[9:] == ["task=intent"]


def test_a_space_of_ones_own_goes_along_in_the_package(words, tmp_path):
    (tmp_path / "own.yaml").write_text(
        "# @package _global_\nlr: {float: [1.0e-3, 0.1], log: true}\nprompt_length: 7\n"
    )
    line = line_of([*words, f"space={tmp_path}/own.yaml"], tmp_path)
    assert "space=shipped" in line
    asked = (
        "from sp_search.cli.settings.compose import load_settings as load\nfrom sp_search.config import Settings\n"
    )
    asked += "import json, sys; print(json.dumps(load(sys.argv[1:], Settings).space))"
    done = subprocess.run(
        [sys.executable, "-c", asked, *line], cwd=tmp_path / "job", capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {"lr": {"float": [1e-3, 0.1], "log": True}, "prompt_length": 7}


def test_the_copy_knows_its_version_and_the_commit_it_came_from(tmp_path):
    packages = shipped(tmp_path)
    assert [path.name for path in packages] == ["search_spaces", "sp_search", "sp_search-0.1.0.dist-info"]
    asked = "import json, sp_search; from sp_search.tracking.base.provenance import git_state, versions\n"
    asked += "print(json.dumps([sp_search.__file__, git_state().sha, versions()['sp_search']]))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}]\n{asked}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == [str(tmp_path / "sp_search" / "__init__.py"), git_state().sha, "0.1.0"]


@pytest.mark.parametrize("runs", [[], ["runs=runs"], ["runs=/shared/runs", "runs=mine"]])
def test_runs_must_be_a_folder_of_the_clusters(runs):
    with pytest.raises(
        ConfigError, match="runs: expected a folder that every node of the cluster sees, as runs=/shar"
    ):
        check_words(["task=intent", *runs])


@pytest.mark.parametrize(
    "word",
    [
        "cluster.storage=postgresql://me:secret@db/studies",
        "tracking.uri=https://me:secret@mlflow",
        "lm=s3://k:secret@b/x",
    ],
)
def test_a_password_is_not_put_where_everybody_sees_it(word):
    with pytest.raises(ConfigError, match="expected no password, for all who see the cluster's jobs") as caught:
        check_words(["runs=/shared/runs", word])
    assert "secret@" not in str(caught.value)


def test_a_users_name_is_no_password():
    check_words(["runs=/shared/runs", "cluster.storage=postgresql+psycopg2://me@db.example.org/studies"])


def test_of_an_lm_only_what_it_is_loaded_from_goes_along(tmp_path):
    for name in ("checkpoint_best.pt", "checkpoint1.pt", "checkpoint_last.pt", "dict.txt", "meta.json", "log"):
        (tmp_path / name).write_text(name)
    beside = {name: tmp_path / name for name in ("dict.txt", "meta.json")}
    assert files_of(tmp_path) == {"checkpoint_best.pt": tmp_path / "checkpoint_best.pt", **beside}
    other = tmp_path / "checkpoint1.pt"
    assert files_of(other) == {"checkpoint_best.pt": other, **beside}, "under the name that is looked for"


def test_of_a_corpus_only_what_it_is_loaded_from_goes_along_also_behind_links(tmp_path):
    binary = tmp_path / "elsewhere"
    binary.mkdir()
    for name in ("train.idx", "train.bin", "valid.idx", "valid.bin", "test.idx", "test.bin", "dict.txt"):
        (binary / name).write_text(name)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data-bin").symlink_to(binary)
    for name in ("meta.json", "quantizer.safetensors", "clip.wav", ".hidden"):
        (tmp_path / "mine" / name).write_text(name)
    places = {f"data-bin/{path.name}" for path in binary.iterdir()} | {"meta.json", "quantizer.safetensors"}
    assert set(corpus_files(tmp_path / "mine")) == places


def test_an_lm_in_the_transformers_format_is_the_same_from_what_goes_along(tmp_path):
    save_as_slamkit(tiny_model(CONFIGS["qwen2"]()), tmp_path / "lm")
    write_tokeniser(tmp_path / "lm")
    (tmp_path / "lm" / "optimizer.pt").write_bytes(bytes(1000))
    (tmp_path / "alone").mkdir()
    for place, file in files_of(tmp_path / "lm").items():
        shutil.copyfile(file, tmp_path / "alone" / place)
    here, there = (load_lm("tiny", tmp_path / name, tmp_path / f"cache of {name}") for name in ("lm", "alone"))
    assert (here.lm.fingerprint, here.dictionary.symbols) == (there.lm.fingerprint, there.dictionary.symbols)
    assert not (tmp_path / "alone" / "optimizer.pt").exists()
