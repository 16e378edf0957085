import hashlib
import json
import random
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sp_search.errors import DownloadError
from sp_search.published.catalogue import PublishedFile
from sp_search.published.download import fetch, place_of
from sp_search.published.pins import pin_of
from tests.file_server import corrupted

BODY = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def file(file_server):
    return PublishedFile(file_server.put("/models/km.bin", BODY), SHA256)


@pytest.fixture
def unchecked(file_server):
    """A file whose publisher gives no checksum."""
    return PublishedFile(file_server.put("/models/km.bin", BODY))


def names(path):
    return {one.name for one in path.parent.iterdir()}


def test_a_file_comes_whole_to_the_place_of_its_address(file, tmp_path):
    path = fetch(file, tmp_path)
    assert path == tmp_path / "published" / "127.0.0.1" / "models" / "km.bin" == place_of(file, tmp_path)
    assert path.read_bytes() == BODY
    assert names(path) == {"km.bin", "km.bin.lock"}


def test_a_file_that_is_there_is_not_asked_for_again(file, file_server, tmp_path):
    fetch(file, tmp_path)
    assert fetch(file, tmp_path).read_bytes() == BODY
    assert len(file_server.asked) == 1


def test_a_file_put_there_by_hand_is_as_good(tmp_path):
    file = PublishedFile("https://nowhere.invalid/km.bin", SHA256)
    path = place_of(file, tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(BODY)
    assert fetch(file, tmp_path) == path


def test_a_wrong_checksum_is_deleted_and_refused(file, file_server, tmp_path):
    file_server.faults = [corrupted]
    wrong = hashlib.sha256(BODY[:-1] + bytes([BODY[-1] ^ 1])).hexdigest()
    with pytest.raises(
        DownloadError,
        match=rf"^{file.url}: expected sha256 {SHA256} \(as published\), got {wrong}; what came was deleted$",
    ):
        fetch(file, tmp_path)
    path = place_of(file, tmp_path)
    assert not path.exists()
    assert not Path(f"{path}.part").exists()
    assert fetch(file, tmp_path).read_bytes() == BODY


def test_without_a_published_checksum_the_first_download_is_pinned(unchecked, tmp_path):
    path = fetch(unchecked, tmp_path)
    assert json.loads(pin_of(path).read_text()) == {"url": unchecked.url, "sha256": SHA256}
    assert names(path) == {"km.bin", "km.bin.lock", "km.bin.pin.json"}


def test_a_file_that_changed_upstream_is_refused_when_downloaded_again(unchecked, file_server, tmp_path):
    path = fetch(unchecked, tmp_path)
    path.unlink()
    file_server.put("/models/km.bin", OTHER, version='"v2"')
    pin = re.escape(str(pin_of(path)))
    with pytest.raises(
        DownloadError,
        match=rf"expected sha256 {SHA256} \(pinned in {pin}\), got \w{{64}}; what came was deleted; "
        rf"if its publisher changed it, remove {pin} to accept it$",
    ):
        fetch(unchecked, tmp_path)
    assert not path.exists()
    pin_of(path).unlink()
    assert fetch(unchecked, tmp_path).read_bytes() == OTHER


@pytest.mark.parametrize("published", [SHA256, None])
def test_a_file_that_was_damaged_on_the_disk_is_refused(file_server, tmp_path, published):
    file = PublishedFile(file_server.put("/km.bin", BODY), published)
    path = fetch(file, tmp_path)
    path.write_bytes(BODY[:-1])
    with pytest.raises(
        DownloadError, match=rf"^{path}: expected sha256 {SHA256} .*, got \w{{64}}; remove it to download it again$"
    ):
        fetch(file, tmp_path)


@pytest.mark.parametrize("damage", ["", "[]", "{}"])
def test_a_damaged_pin_is_told(unchecked, tmp_path, damage):
    pin = pin_of(fetch(unchecked, tmp_path))
    pin.write_text(damage)
    with pytest.raises(DownloadError, match=r"pin\.json: expected the sha256 of a first download, got a damaged"):
        fetch(unchecked, tmp_path)


def test_a_cache_that_can_t_be_written_is_told(file, tmp_path):
    (tmp_path / "published").write_text("a file in the way")
    with pytest.raises(
        DownloadError,
        match=r"km\.bin: expected to keep it there, got Not a directory; choose another with cache=PATH",
    ):
        fetch(file, tmp_path)


def test_two_processes_download_a_file_once(file, file_server, tmp_path):
    code = (
        "import sys; from pathlib import Path; from sp_search.published.download import fetch\n"
        "from sp_search.published.catalogue import PublishedFile\n"
        "print(fetch(PublishedFile(sys.argv[1], sys.argv[2]), Path(sys.argv[3])))"
    )
    path, second_waits = place_of(file, tmp_path), threading.Event()
    file_server.faults = [lambda handler, body: second_waits.wait(60) and handler.rest(body)]
    command = [sys.executable, "-c", code, file.url, SHA256, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        while not file_server.asked:
            time.sleep(0.01)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as second:
            assert second.stderr.readline() == "waiting for another process that downloads km.bin\n"
            second_waits.set()
            assert first.communicate(timeout=60)[0] == second.communicate(timeout=60)[0] == f"{path}\n"
    assert path.read_bytes() == BODY
    assert len(file_server.asked) == 1
