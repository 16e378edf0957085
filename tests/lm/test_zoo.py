import tarfile
import zipfile
from dataclasses import replace

import pytest
import torch

from sp_search.errors import CheckpointError, DataError, DownloadError
from sp_search.lm.zoo import load_lm
from sp_search.published.catalogue import LMS, PublishedFile
from tests.fairseq_models import fairseq_args, fairseq_dictionary, fairseq_lm
from tests.shared import shared
from tests.transformers_models import CONFIGS, save_as_slamkit, tiny_model


def write_lm_folder(folder, *, units=20, padding_factor=1, width=16, name="checkpoint_best.pt"):
    """A checkpoint and its dict.txt, as fairseq leaves them."""
    folder.mkdir(exist_ok=True)
    dictionary = fairseq_dictionary(units, padding_factor)
    args = fairseq_args(decoder_embed_dim=width, decoder_input_dim=width, decoder_output_dim=width)
    torch.save({"args": args, "model": fairseq_lm(args, dictionary, seed=0).state_dict()}, folder / name)
    dictionary.save(str(folder / "dict.txt"))
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_lm_folder(tmp_path / "lm")


def load(path, cache):
    return load_lm("mine", path, cache / "cache")


@pytest.fixture
def published(file_server, monkeypatch, tmp_path):
    """A published LM's name, whose archive a server of the test's own has."""
    packed = tmp_path / "hubert100_lm.tgz"
    with tarfile.open(packed, "w:gz") as tar:
        tar.add(write_lm_folder(tmp_path / "lm"), "hubert100_lm")
    url = file_server.put("/gslm/hubert/lm_km100/hubert100_lm.tgz", packed.read_bytes())
    monkeypatch.setitem(LMS, "gslm_hubert100", replace(LMS["gslm_hubert100"], files=(PublishedFile(url),)))
    return "gslm_hubert100"


def test_a_published_lm_is_downloaded_once(published, file_server, folder, tmp_path):
    first, again = (load_lm(published, None, tmp_path / "cache") for _ in range(2))
    assert len(file_server.asked) == 1
    assert first.name == published
    assert first.lm.fingerprint == again.lm.fingerprint == load(folder, tmp_path).lm.fingerprint
    assert first.dictionary.symbols == tuple(map(str, range(20)))


def served(name, monkeypatch, *files):
    """A published LM at other addresses."""
    monkeypatch.setitem(LMS, name, replace(LMS[name], files=tuple(map(PublishedFile, files))))


def test_slam_is_a_folder_of_files_that_are_downloaded_one_by_one(file_server, monkeypatch, tmp_path):
    made = tmp_path / "made"
    save_as_slamkit(tiny_model(CONFIGS["qwen2"]()), made)
    names = [file.url.rpartition("/")[2] for file in LMS["slam"].files]
    at = [file_server.put(f"/slprl/slam/resolve/main/{name}", (made / name).read_bytes()) for name in names]
    served("slam", monkeypatch, *at)
    first, again = (load_lm("slam", None, tmp_path / "cache") for _ in range(2))
    assert len(file_server.asked) == len(names) == 2
    wanted = load_lm("mine", made, tmp_path / "cache")
    assert first.lm.fingerprint == again.lm.fingerprint == wanted.lm.fingerprint
    assert first.dictionary.symbols == wanted.dictionary.symbols


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "pytorch_model.bin"])
def test_twist_is_a_zip_whose_folder_has_any_name(file_server, monkeypatch, tmp_path, safe):
    made = tmp_path / "made"
    model = tiny_model(CONFIGS["opt, norm behind, projected"]())
    model.save_pretrained(made)
    if not safe:
        (made / "model.safetensors").unlink()
        torch.save(model.state_dict(), made / "pytorch_model.bin")
    with zipfile.ZipFile(tmp_path / "TWIST-350M.zip", "w") as zipped:
        for file in made.iterdir():
            zipped.write(file, f"some/folder/{file.name}")
        zipped.writestr("some/folder/evil.py", "raise SystemExit")
    at = file_server.put("/twist/lms/TWIST-350M.zip", (tmp_path / "TWIST-350M.zip").read_bytes())
    served("twist_350m", monkeypatch, at)
    loaded = load_lm("twist_350m", None, tmp_path / "cache")
    assert loaded.lm.fingerprint == load_lm("mine", made, tmp_path / "cache").lm.fingerprint
    folder = tmp_path / "cache/published/127.0.0.1/twist/lms/TWIST-350M"
    weights = "model.safetensors" if safe else "pytorch_model.bin"
    assert {path.name for path in folder.iterdir() if not path.name.endswith(".pin.json")} == {"config.json", weights}
    (folder / weights).unlink()
    with pytest.raises(
        DownloadError, match=rf"{weights}: expected the unpacked file, found none; remove {folder} to"
    ):
        load_lm("twist_350m", None, tmp_path / "cache")


@pytest.mark.parametrize("name", ["slam", "twist_1_3b"])
def test_without_a_network_a_published_lm_says_what_to_download_and_where_to_put_it(name, monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    nowhere = "http://127.0.0.1:9/lms/file.zip"  # the port of `discard`, where nothing listens
    served(name, monkeypatch, nowhere)
    place = tmp_path / "published/127.0.0.1/lms/file.zip"
    with pytest.raises(DownloadError, match=rf"^{nowhere}: expected a file, got no connection .* put it at {place}$"):
        load_lm(name, None, tmp_path)


def test_a_published_lm_that_can_t_be_had_is_told(file_server, monkeypatch, tmp_path):
    gone = PublishedFile(f"{file_server.url}/gone.tgz")
    monkeypatch.setitem(LMS, "gslm_cpc50", replace(LMS["gslm_cpc50"], files=(gone,)))
    with pytest.raises(DownloadError, match=r"gone\.tgz: expected a file, got 404 Not Found$"):
        load_lm("gslm_cpc50", None, tmp_path)


def test_a_random_lm_has_the_shape_of_its_name_and_a_hundred_units(tmp_path):
    loaded = load_lm("random:2x12x3", None, tmp_path)
    shape = loaded.lm.architecture
    assert (shape.layers, shape.embed_dim, shape.ffn_embed_dim, shape.attention_heads) == (2, 12, 48, 3)
    assert len(loaded.dictionary) == shape.vocab_size == 104
    assert loaded.dictionary.find("99") == 103


@pytest.mark.parametrize("name", ["random:1x999998x1", "random:999999x1024x16"])
def test_a_random_lm_that_no_memory_holds_is_refused_before_it_is_made(name, tmp_path):
    with pytest.raises(
        CheckpointError, match=rf"^lm: expected an LM of up to the .* memory, got {name} of [\d,]+ GB$"
    ):
        load_lm(name, None, tmp_path)


def test_a_random_lm_is_the_same_every_time(tmp_path):
    one, again = (load_lm("random:2x12x3", None, tmp_path).lm.fingerprint for _ in range(2))
    assert one == again


def test_a_checkpoint_and_its_folder_are_the_same_lm(folder, tmp_path):
    of_folder, of_file = load(folder, tmp_path), load(folder / "checkpoint_best.pt", tmp_path)
    assert of_folder.lm.fingerprint == of_file.lm.fingerprint
    assert of_folder.dictionary.symbols == of_file.dictionary.symbols == tuple(map(str, range(20)))
    assert of_folder.name == "mine"


def test_the_only_checkpoint_of_a_folder_may_have_any_name(tmp_path):
    loaded = load(write_lm_folder(tmp_path / "lm", name="lm_km100.pt"), tmp_path)
    assert loaded.lm.architecture.vocab_size == 24


def test_the_best_of_many_checkpoints_is_taken(folder, tmp_path):
    (folder / "checkpoint_last.pt").write_bytes(b"")
    assert load(folder, tmp_path).lm.architecture.vocab_size == 24


def test_many_checkpoints_and_none_called_best_are_refused(folder, tmp_path):
    (folder / "checkpoint_best.pt").rename(folder / "a.pt")
    (folder / "b.pt").write_bytes(b"")
    with pytest.raises(
        CheckpointError,
        match=r"expected checkpoint_best\.pt or one \*\.pt with dict\.txt next to it, or .*, found a\.pt, b\.pt",
    ):
        load(folder, tmp_path)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere: expected checkpoint_best\.pt or one \*\.pt .*, found none"):
        load(tmp_path / "nowhere", tmp_path)


@pytest.mark.parametrize("name", ["hubert", "random:2x12", "random:axbxc", "random:2x12x3x4", ""])
def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(
        CheckpointError,
        match=rf"^lm: expected demo, random:LAYERSxWIDTHxHEADS, gslm_hubert50, .* or a path, got '{name}'$",
    ):
        load_lm(name, None, tmp_path)


def test_a_dictionary_that_fairseq_padded_belongs_to_its_lm(tmp_path):
    loaded = load(write_lm_folder(tmp_path / "lm", units=10, padding_factor=8), tmp_path)
    assert loaded.lm.architecture.vocab_size == len(loaded.dictionary) == 16
    assert len(loaded.dictionary.unit_ids) == 10


def test_an_unpadded_dictionary_belongs_to_the_lm_that_was_padded(tmp_path):
    folder = write_lm_folder(tmp_path / "lm", units=10, padding_factor=8)
    fairseq_dictionary(10).save(str(folder / "dict.txt"))
    assert load(folder, tmp_path).lm.architecture.vocab_size == 16


def test_the_dictionary_of_another_lm_is_refused(folder, tmp_path):
    fairseq_dictionary(50).save(str(folder / "dict.txt"))
    with pytest.raises(
        CheckpointError,
        match=r"checkpoint_best\.pt: expected an embedding of 54 rows .*, got 24; is dict.txt that of another LM\?",
    ):
        load(folder, tmp_path)


def test_an_lm_without_a_dictionary_is_refused(folder, tmp_path):
    (folder / "dict.txt").unlink()
    with pytest.raises(
        DataError, match=r"dict\.txt: expected a fairseq dictionary \(dict\.txt\), found no such file"
    ):
        load(folder, tmp_path)


def test_the_real_lm_belongs_to_its_dictionary(tmp_path):
    loaded = load(shared("lm", "hubert100_6x256"), tmp_path)
    assert len(loaded.dictionary) == loaded.lm.architecture.vocab_size == 104
