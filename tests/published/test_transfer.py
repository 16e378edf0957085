"""One download after another that goes wrong, and what is asked of the server then."""

import io
import json
import random
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from sp_search.errors import DownloadError
from sp_search.published import transfer
from sp_search.published.meter import Meter
from sp_search.published.transfer import PIECE, receive
from tests.file_server import (
    another_range,
    cut_after,
    dropped_after,
    hung_up,
    in_portions,
    redirect_to,
    status,
    web_page,
    without_ranges,
)

BODY = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)


@pytest.fixture
def url(file_server):
    return file_server.put("/models/km.bin", BODY)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "km.bin"


def bring(url, path):
    return receive(url, path, Meter(path.name, io.StringIO())).read_bytes()


def ranges(file_server):
    return [asked for _, asked in file_server.asked]


@pytest.mark.parametrize("broken", [dropped_after, cut_after])
def test_a_broken_body_goes_on_where_it_ended(url, file_server, path, broken):
    file_server.faults = [broken(2 * PIECE + 5), broken(PIECE + 5)]
    assert bring(url, path) == BODY
    starts = [int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) for asked in ranges(file_server)[1:]]
    assert ranges(file_server)[0] is None
    assert len(starts) == 2
    assert 0 < starts[0] <= 2 * PIECE + 5 < starts[1] < len(BODY)


def test_an_interrupted_download_is_taken_up_by_the_next_run(url, file_server, path):
    file_server.faults = [cut_after(2 * PIECE), *[hung_up] * 4]
    with pytest.raises(
        DownloadError,
        match=r"km\.bin: expected the whole file, got 131,072 bytes, then Remote end closed connection without "
        r"response 4 times; run it again to go on from there$",
    ):
        bring(url, path)
    file_server.asked.clear()
    assert bring(url, path) == BODY
    assert ranges(file_server) == [f"bytes={2 * PIECE}-"]


def test_a_part_that_is_whole_needs_no_server(url, file_server, path):
    """The process died between the last byte and the rename."""
    Path(f"{path}.part").write_bytes(BODY)
    Path(f"{path}.part.json").write_text(json.dumps({"version": '"v1"', "bytes": len(BODY)}))
    assert bring(url, path) == BODY
    assert file_server.asked == []


def leave_a_part(file_server, url, path):
    file_server.faults = [cut_after(2 * PIECE), *[hung_up] * 4]
    with pytest.raises(DownloadError, match="expected the whole file"):
        bring(url, path)
    file_server.asked.clear()


def test_parts_of_two_versions_are_never_joined(url, file_server, path):
    leave_a_part(file_server, url, path)
    file_server.put("/models/km.bin", OTHER, version='"v2"')
    assert bring(url, path) == OTHER


def test_a_server_that_names_no_version_is_asked_for_the_whole_again(file_server, path):
    url = file_server.put("/km.bin", BODY, version=None)
    leave_a_part(file_server, url, path)
    assert bring(url, path) == BODY
    assert ranges(file_server) == [None]


def test_a_server_without_ranges_sends_the_whole_again(url, file_server, path):
    file_server.faults = [cut_after(2 * PIECE), without_ranges]
    assert bring(url, path) == BODY


def test_a_server_that_sends_the_rest_in_portions_is_asked_for_each(url, file_server, path):
    file_server.faults = [cut_after(PIECE), in_portions, in_portions]
    assert bring(url, path) == BODY
    assert ranges(file_server) == [None, *(f"bytes={PIECE + sent}-" for sent in (0, 100_000, 200_000))]


def test_another_range_than_was_asked_for_is_not_joined(url, file_server, path):
    file_server.faults = [cut_after(PIECE), another_range]
    assert bring(url, path) == BODY


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 1'])
def test_a_part_of_unknown_origin_is_not_trusted(url, file_server, path, damage):
    leave_a_part(file_server, url, path)
    Path(f"{path}.part.json").write_text(damage)
    assert bring(url, path) == BODY
    assert ranges(file_server) == [None]


def test_a_part_longer_than_the_file_is_begun_anew(url, file_server, path):
    leave_a_part(file_server, url, path)
    Path(f"{path}.part").write_bytes(BODY + b"more")
    assert bring(url, path) == BODY
    assert ranges(file_server) == [f"bytes={len(BODY) + 4}-", None]


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again(url, file_server, path, code):
    file_server.faults = [status(code), hung_up, status(code)]
    assert bring(url, path) == BODY


def test_tries_that_bring_something_are_not_counted(url, file_server, path):
    file_server.faults = [fault for _ in range(4) for fault in (cut_after(PIECE), hung_up, hung_up, hung_up)]
    assert bring(url, path) == BODY


@pytest.mark.parametrize(
    ("host", "why"), [("127.0.0.1:1", "Connection refused"), ("nowhere.invalid", "[A-Z][a-z ]+")]
)
def test_offline_is_one_line_that_says_where_to_put_the_file(monkeypatch, path, host, why):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    url = f"https://{host}/models/km.bin"
    with pytest.raises(
        DownloadError,
        match=rf"^{url}: expected a file, got no connection \({why}\); download it elsewhere and put it at "
        rf"{path}$",
    ):
        bring(url, path)


def test_a_server_that_goes_away_for_good_is_tried_again_then_told(url, file_server, path):
    def last(handler, body):
        cut_after(2 * PIECE)(handler, body)
        handler.server.socket.close()

    file_server.faults = [last]
    with pytest.raises(DownloadError, match=r"got 131,072 bytes, then Connection refused 4 times; run it again"):
        bring(url, path)


@pytest.mark.parametrize(("code", "said"), [(403, "403 Forbidden"), (404, "404 Not Found"), (410, "410 Gone")])
def test_a_file_that_is_not_there_is_told_at_once(url, file_server, path, code, said):
    file_server.faults = [status(code)]
    with pytest.raises(DownloadError, match=rf"^{url}: expected a file, got {said}$"):
        bring(url, path)
    assert len(file_server.asked) == 1


def test_the_login_page_of_a_proxy_is_not_taken_for_the_file(url, file_server, path):
    file_server.faults = [web_page]
    with pytest.raises(DownloadError, match="expected a file, got a web page; does a proxy or a login page"):
        bring(url, path)


def test_a_redirect_is_followed(url, file_server, path):
    elsewhere = file_server.put("/elsewhere", BODY)
    file_server.faults = [redirect_to(elsewhere)]
    assert bring(url, path) == BODY


@pytest.mark.parametrize("unsafe", ["http://models.invalid/km.bin", "http://127.0.0.1@models.invalid/km.bin"])
def test_nothing_is_asked_for_in_the_clear(url, file_server, path, unsafe):
    with pytest.raises(DownloadError, match=rf"^{unsafe}: expected an https address, got http$"):
        bring(unsafe, path)
    file_server.faults = [redirect_to(unsafe)]
    with pytest.raises(DownloadError, match=rf"^{unsafe}: expected an https address, got http$"):
        bring(url, path)


def test_a_full_disk_is_told_before_it_is_full(url, monkeypatch, path):
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(
        DownloadError, match=r"part: expected 300,000 bytes free for the rest of the file, got 1,000; make room"
    ):
        bring(url, path)
