import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from sp_search.errors import CheckpointError, DownloadError
from sp_search.lm import store
from sp_search.lm.store import file_sha256, load_checkpoint, read_lm, write_lm
from tests.damage import flipped
from tests.tiny import tiny_lm

MISSING_OR_DAMAGED = "expected an imported unit LM, got a missing or damaged one"
OTHER_BYTES = "expected an imported unit LM of sha256 [0-9a-f]{64}, got one of [0-9a-f]{64}: it is damaged; remove it"


@pytest.fixture
def imports(monkeypatch):
    """Stands for the importer: takes any file as a tiny LM, and keeps a list of what it was asked for."""
    asked = []

    def import_checkpoint(path):
        asked.append(path)
        return tiny_lm(seed=len(path.read_bytes()))

    monkeypatch.setattr(store, "import_checkpoint", import_checkpoint)
    return asked


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "lm.pt"
    path.write_bytes(b"weights")
    return path


def assert_same_lm(one, other):
    assert (one.architecture, one.fingerprint) == (other.architecture, other.fingerprint)
    assert set(one.tensors()) == set(other.tensors())
    assert all(torch.equal(tensor, other.tensors()[name]) for name, tensor in one.tensors().items())


@pytest.mark.parametrize("final_norm", [True, False])
def test_an_lm_comes_back_as_it_was_written(tmp_path, final_norm):
    lm = tiny_lm(final_norm=final_norm)
    write_lm(lm, tmp_path / "entry")
    assert_same_lm(read_lm(tmp_path / "entry"), lm)


def test_no_unfinished_file_stays(tmp_path):
    write_lm(tiny_lm(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"weights.safetensors", "lm.json"}


def test_a_checkpoint_is_imported_once(imports, checkpoint, tmp_path):
    first, second = (load_checkpoint(checkpoint, tmp_path / "cache") for _ in range(2))
    assert imports == [checkpoint]
    assert_same_lm(first, second)


def test_the_entry_lies_under_the_files_sha256(imports, checkpoint, tmp_path):
    load_checkpoint(checkpoint, tmp_path / "cache")
    entries = [path.name for path in (tmp_path / "cache" / "lm").iterdir()]
    assert entries == [hashlib.sha256(b"weights").hexdigest()]


def test_the_same_checkpoint_elsewhere_is_a_hit(imports, checkpoint, tmp_path):
    load_checkpoint(checkpoint, tmp_path / "cache")
    load_checkpoint(shutil.copy(checkpoint, tmp_path / "copy.pt"), tmp_path / "cache")
    assert imports == [checkpoint]


def test_another_checkpoint_under_the_same_name_is_no_hit(imports, checkpoint, tmp_path):
    load_checkpoint(checkpoint, tmp_path / "cache")
    checkpoint.write_bytes(b"other weights")
    lm = load_checkpoint(checkpoint, tmp_path / "cache")
    assert_same_lm(lm, tiny_lm(seed=len(b"other weights")))


def cut(path):
    path.write_bytes(path.read_bytes()[:-50])


DAMAGES = {
    "cut weights": ("weights.safetensors", cut),
    "no weights": ("weights.safetensors", lambda path: path.unlink()),
    "empty weights": ("weights.safetensors", lambda path: path.write_bytes(b"")),
    "a cut record": ("lm.json", cut),
    "no record": ("lm.json", lambda path: path.unlink()),
    "another record": ("lm.json", lambda path: path.write_text("[]")),
    "a record of another format": ("lm.json", lambda path: path.write_text('{"format": 99}')),
    "a record of another shape": (
        "lm.json",
        lambda path: path.write_text(path.read_text().replace('"layers": 3', '"layers": 4')),
    ),
    "a record of other heads": (
        "lm.json",
        lambda path: path.write_text(path.read_text().replace('"attention_heads": 2', '"attention_heads": 4')),
    ),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_made_again(imports, checkpoint, tmp_path, name, damage):
    first = load_checkpoint(checkpoint, tmp_path / "cache")
    entry = tmp_path / "cache" / "lm" / file_sha256(checkpoint)
    damage(entry / name)
    with pytest.raises(CheckpointError, match=f"{MISSING_OR_DAMAGED}|{OTHER_BYTES}|expected format 2"):
        read_lm(entry)
    assert_same_lm(load_checkpoint(checkpoint, tmp_path / "cache"), first)
    assert_same_lm(read_lm(entry), first)
    assert len(imports) == 2


@pytest.mark.parametrize("name", ["weights.safetensors", "lm.json"])
def test_an_entry_with_one_bit_flipped_is_made_again(imports, checkpoint, tmp_path, name):
    lm = load_checkpoint(checkpoint, tmp_path / "cache")
    path = tmp_path / "cache" / "lm" / file_sha256(checkpoint) / name
    for damaged in flipped(path.read_bytes(), 100):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            read_lm(path.parent)
        assert_same_lm(load_checkpoint(checkpoint, tmp_path / "cache"), lm)
    assert len(imports) == 1 + 100


def test_an_absent_entry_is_told(tmp_path):
    with pytest.raises(CheckpointError, match=f"nowhere: {MISSING_OR_DAMAGED}"):
        read_lm(tmp_path / "nowhere")


def test_an_absent_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"lm\.pt: expected a file of an LM, got No such file or directory"):
        load_checkpoint(tmp_path / "lm.pt", tmp_path / "cache")


def test_a_bad_checkpoint_leaves_no_entry(checkpoint, tmp_path):
    with pytest.raises(CheckpointError):
        load_checkpoint(checkpoint, tmp_path / "cache")
    assert not (tmp_path / "cache" / "lm").exists()


def test_a_cache_that_cannot_be_written_is_one_line(imports, checkpoint):
    with pytest.raises(
        DownloadError, match=r"^/proc/x/lm/.*: expected to keep it there, got .*; choose another with ca"
    ):
        load_checkpoint(checkpoint, Path("/proc/x"))
