"""Files under the sha256 of their content, on a folder and on a real S3 server."""

import os
import shutil
import threading
from urllib.parse import quote

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from sp_search.errors import ConfigError, DownloadError
from sp_search.files.by_content import content_of, fetched, is_address, put

FILES = {"train.txt.gz": b"\x1f\x8b no gzip, but named so", "data-bin/a file.bin": bytes(range(256)), "empty": b""}


@pytest.fixture
def corpus(tmp_path):
    """Three files, and the content that they are."""
    for place, text in FILES.items():
        (tmp_path / "mine" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / place).write_bytes(text)
    return content_of("mein Korpus ä", {place: tmp_path / "mine" / place for place in FILES})


@pytest.fixture(scope="module")
def s3():
    """The URL of a folder in a bucket, on a server of this process."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="team")
        yield f"s3://team/speech?endpoint_override={quote(f'http://{host}:{port}', safe='')}&region=us-east-1"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def storage(request, tmp_path):
    """The URL of a storage."""
    return request.getfixturevalue("s3") if request.param == "s3" else f"file://{tmp_path}/store"


def test_what_is_put_is_fetched_to_the_byte_and_both_happen_once(corpus, storage, tmp_path):
    told = []
    address = put(corpus, storage, told.append)
    assert put(corpus, storage, told.append) == address
    assert len(told) == 1
    assert is_address(address)
    folder = fetched(address, tmp_path / "cache", told.append)
    assert folder == tmp_path / "cache" / "fetched" / corpus.digest / "mein Korpus ä"
    assert {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == FILES
    assert fetched(address, tmp_path / "cache", told.append) == folder
    assert len(told) == 2


def test_many_that_want_the_same_at_once_fetch_it_once(corpus, storage, tmp_path):
    address, told = put(corpus, storage, lambda _: None), []
    threads = [threading.Thread(target=fetched, args=(address, tmp_path / "cache", told.append)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [f"fetching {address.partition('?')[0]}"]


def test_what_was_fetched_needs_its_storage_no_more(corpus, tmp_path):
    address = put(corpus, f"file://{tmp_path}/store", lambda _: None)
    folder = fetched(address, tmp_path / "cache", lambda _: None)
    shutil.rmtree(tmp_path / "store")
    assert fetched(address, tmp_path / "cache", lambda _: None) == folder
    with pytest.raises(
        DownloadError, match=r"store: expected mein Korpus ä with the sha256 \w+, found nothing whole"
    ):
        fetched(address, tmp_path / "another cache", lambda _: None)


def test_damaged_files_are_refused_and_nothing_of_them_is_kept(corpus, tmp_path):
    address = put(corpus, f"file://{tmp_path}/store", lambda _: None)
    (tmp_path / "store" / "sha256" / corpus.digest / corpus.name / "empty").write_bytes(b"x")
    with pytest.raises(DownloadError, match=r"expected .* got \w+: it is damaged there; remove sha256/\w+\.json"):
        fetched(address, tmp_path / "cache", lambda _: None)
    assert not (tmp_path / "cache" / "fetched" / corpus.digest).exists()


def test_an_upload_that_was_cut_off_is_not_there_and_is_done_again(corpus, tmp_path):
    address = put(corpus, f"file://{tmp_path}/store", lambda _: None)
    (tmp_path / "store" / "sha256" / f"{corpus.digest}.json").unlink()
    (tmp_path / "store" / "sha256" / corpus.digest / corpus.name / "empty").unlink()
    with pytest.raises(DownloadError, match="found nothing whole"):
        fetched(address, tmp_path / "cache", lambda _: None)
    assert put(corpus, f"file://{tmp_path}/store", lambda _: None) == address
    assert (fetched(address, tmp_path / "cache", lambda _: None) / "empty").read_bytes() == b""


@pytest.mark.parametrize(
    ("storage", "why"),
    [
        ("ftp://host/folder", r"expected a storage \(s3://BUCKET/FOLDER, .*\), got ftp://host/folder: "),
        ("file://relative", r"expected a storage .*, got file://relative: "),
        ("file:///dev/null/inside", "expected a storage that can be written, got file:///dev/null/inside: "),
    ],
)
def test_a_storage_that_can_never_work_is_one_line(corpus, storage, why):
    with pytest.raises(ConfigError, match=why) as caught:
        put(corpus, storage, lambda _: None)
    assert "\n" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_one_line(corpus, s3):
    with pytest.raises(ConfigError, match="expected a storage that can be written, got s3://nobody") as caught:
        put(corpus, s3.replace("team", "nobody"), lambda _: None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["s3://team/units", "https://example.org/a.pt", "s3://team/sha256/12/mine"])
def test_another_url_is_no_address(address, tmp_path):
    with pytest.raises(
        ConfigError, match="expected a path of this machine, or an address STORAGE/sha256/DIGEST/NAME"
    ):
        fetched(address, tmp_path, print)


@pytest.mark.parametrize(
    "places",
    ['["/tmp/evil"]', '["../../evil"]', '["a/../../evil"]', '["./a"]', '[""]', "[1]", "{}", "", '["a"'],
)
def test_a_listing_that_leads_out_of_its_folder_or_is_none_writes_nothing(corpus, tmp_path, places):
    address = put(corpus, f"file://{tmp_path}/store", lambda _: None)
    (tmp_path / "store" / "sha256" / f"{corpus.digest}.json").write_text(places)
    with pytest.raises(DownloadError, match=r"expected the places of files in \w+\.json, got .*; remove it there"):
        fetched(address, tmp_path / "cache", lambda _: None)
    assert [path.name for path in (tmp_path / "cache" / "fetched").iterdir()] == [f"{corpus.digest}.lock"]


@pytest.mark.parametrize("name", ["..", "%2E%2E", "..%2F..%2Fevil", ".", "a%2Fb"])
def test_a_name_that_leads_out_of_the_cache_is_no_address(corpus, tmp_path, name):
    address = put(corpus, f"file://{tmp_path}/store", lambda _: None).rpartition("/")[0]
    with pytest.raises(ConfigError, match="expected a path of this machine, or an address"):
        fetched(f"{address}/{name}", tmp_path / "cache", lambda _: None)


def test_a_log_in_is_shown_in_no_line(corpus, tmp_path):
    told = []
    with pytest.raises(ConfigError) as caught:
        fetched(f"s3://KEY:SECRET@nobody/x/sha256/{corpus.digest}/mine?token=SECRET", tmp_path / "cache", told.append)
    assert "SECRET" not in f"{caught.value}{told}"


def test_a_cache_that_can_not_be_made_is_one_line(corpus, tmp_path):
    address = put(corpus, f"file://{tmp_path}/store", lambda _: None)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^cache: expected a folder that can be written"):
        fetched(address, tmp_path / "file" / "cache", lambda _: None)


@given(st.dictionaries(st.sampled_from("abc"), st.binary(max_size=4)), st.sampled_from("nm"), st.data())
def test_content_has_another_digest_if_and_only_if_a_name_a_place_or_a_byte_differs(
    tmp_path_factory, files, name, data
):
    folder = tmp_path_factory.mktemp("content")
    other = data.draw(st.one_of(st.just(files), st.dictionaries(st.sampled_from("abc"), st.binary(max_size=4))))
    other_name = data.draw(st.sampled_from("nm"))
    one, two = _written(folder / "1", name, files), _written(folder / "2", other_name, other)
    assert (one.digest == two.digest) == ((name, files) == (other_name, other))


def _written(folder, name, files):
    os.makedirs(folder)
    for place, text in files.items():
        (folder / place).write_bytes(text)
    return content_of(name, {place: folder / place for place in files})
