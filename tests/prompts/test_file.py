import json
import re

import pytest
import torch

from sp_search.errors import CheckpointError
from sp_search.prompts.file import load_prompt, save_prompt

TENSORS = {"separator": torch.arange(4.0), "keys": torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))}


@pytest.fixture
def folder(tmp_path):
    save_prompt(tmp_path / "prompt", TENSORS, {"task": "intent"})
    return tmp_path / "prompt"


def test_tensors_and_document_come_back(folder):
    named, document = load_prompt(folder)
    assert set(named) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert torch.equal(named[name], tensor)
    assert document["task"] == "intent"


def test_a_prompt_in_training_and_out_of_order_is_written_as_it_lies(tmp_path):
    transposed = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).T.requires_grad_()
    save_prompt(tmp_path, {"separator": transposed}, {})
    assert torch.equal(load_prompt(tmp_path)[0]["separator"], transposed)


def test_a_later_prompt_replaces_an_earlier_one(folder):
    save_prompt(folder, {"separator": torch.ones(2)}, {"task": "keyword"})
    named, document = load_prompt(folder)
    assert (set(named), document["task"]) == ({"separator"}, "keyword")


def test_no_unfinished_file_stays(folder):
    assert {path.name for path in folder.iterdir()} == {"prompt.safetensors", "prompt.json"}


@pytest.mark.parametrize("missing", ["prompt.safetensors", "prompt.json"])
def test_a_missing_file_is_refused(folder, missing):
    (folder / missing).unlink()
    place = re.escape(f"{folder}: expected an exported prompt (prompt.safetensors and prompt.json), got ")
    with pytest.raises(CheckpointError, match=f"^{place}No such file or directory$"):
        load_prompt(folder)


@pytest.mark.parametrize("name", ["prompt.safetensors", "prompt.json"])
def test_a_link_that_leaves_the_folder_is_refused_and_one_inside_is_not(folder, tmp_path, name):
    (folder / name).rename(folder / "kept")
    (folder / name).symlink_to("kept")
    load_prompt(folder)
    (folder / "kept").rename(tmp_path / "elsewhere")
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "elsewhere")
    place = re.escape(f"{folder / name}: expected a file of its folder, got a link to {tmp_path / 'elsewhere'}; put")
    with pytest.raises(CheckpointError, match=f"^{place}"):
        load_prompt(folder)


OTHER_TENSORS = (
    r"prompt\.safetensors: expected the tensors that prompt\.json was written for, got others or a damaged"
)


def test_truncated_tensors_are_refused(folder):
    path = folder / "prompt.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=OTHER_TENSORS):
        load_prompt(folder)


def test_the_tensors_of_another_prompt_are_refused(folder, tmp_path):
    save_prompt(tmp_path / "other", {"separator": torch.ones(4)}, {"task": "intent"})
    (tmp_path / "other" / "prompt.safetensors").replace(folder / "prompt.safetensors")
    with pytest.raises(CheckpointError, match=OTHER_TENSORS):
        load_prompt(folder)


def test_a_truncated_document_is_refused(folder):
    path = folder / "prompt.json"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=r"prompt\.json: expected JSON, got a damaged file; export it again"):
        load_prompt(folder)


def test_a_document_that_says_a_key_twice_is_refused_with_its_line(folder):
    path = folder / "prompt.json"
    path.write_text(path.read_text().replace('{\n  "task"', '{\n  "task": "asr",\n  "task"'))
    message = f'{path} line 3: expected each key once, got "task" again, as in line 2; export it again'
    with pytest.raises(CheckpointError, match="^" + re.escape(message) + "$"):
        load_prompt(folder)


@pytest.mark.parametrize("nested", ["[" * 100_000])
def test_a_document_nested_too_deeply_is_refused(folder, nested):
    (folder / "prompt.json").write_text(nested)
    with pytest.raises(CheckpointError, match=r"prompt\.json: expected JSON, got a damaged file; export it again"):
        load_prompt(folder)


@pytest.mark.parametrize("foreign", [[1, 2], {"name": "package"}], ids=["a list", "an object"])
def test_a_foreign_document_is_refused(folder, foreign):
    (folder / "prompt.json").write_text(json.dumps(foreign))
    with pytest.raises(CheckpointError, match=OTHER_TENSORS):
        load_prompt(folder)
