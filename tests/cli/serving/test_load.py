"""`sp-search bench serve`: what clients see of a server."""

import json

import pytest

from sp_search.bench.speed.serving import server_address
from sp_search.cli.exported.prompts import LMChoice, Prompts
from tests.cli.serving.running import running
from tests.cli.shell import sp_search


@pytest.fixture(scope="module")
def served(exported, tmp_path_factory):
    choice = LMChoice(exported.lm, None, tmp_path_factory.mktemp("cache"))
    with running(Prompts([exported.folder], choice, device="cpu", dtype="float32"), longest_queue=8) as server:
        yield server


def test_one_client_and_many_get_every_answer_and_their_times_are_printed(served, exported, tmp_path):
    words = [f"url={served.url}", f"data={exported.data}", "requests=60"]
    one, many = map(json.loads, sp_search(tmp_path, "bench", "serve", *words, "clients=6").stdout.splitlines())
    assert (one["clients"], many["clients"]) == (1, 6)
    for line in (one, many):
        assert (line["data"], line["requests"], line["statuses"]) == ("data", 60, {"200": 60})
        assert 0 < line["p50_ms"] <= line["p99_ms"]
    assert one["requests_per_s"] == pytest.approx(1000 / one["p50_ms"], rel=0.9)


def test_what_a_full_queue_refuses_is_counted_and_is_no_fault(served, exported, tmp_path):
    words = [f"url={served.url}", f"data={exported.data}", "requests=300", "clients=40"]
    _, many = map(json.loads, sp_search(tmp_path, "bench", "serve", *words).stdout.splitlines())
    assert sum(many["statuses"].values()) == 300
    assert set(many["statuses"]) == {"200", "429"}


def test_answers_that_are_none_end_with_1(served, exported, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/test.txt").write_text("9999 <s> on\n")
    done = sp_search(tmp_path, "bench", "serve", f"url={served.url}", "data=data", "requests=2", expect=1)
    assert json.loads(done.stdout.splitlines()[0])["statuses"] == {"400": 2}


def test_where_no_server_is_the_line_says_how_to_begin_one(exported, tmp_path):
    words = ["url=http://127.0.0.1:1", f"data={exported.data}", "requests=1"]
    done = sp_search(tmp_path, "bench", "serve", *words, expect=2)
    assert done.stderr.startswith("sp-search: url: expected a server that answers, got Connection refused at http://")
    assert done.stderr.endswith("; begin one with sp-search serve\n")


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8300", "localhost:8300", "http://h:99999", "http://h:x", "https://h", "http://", "http://[::1", ""],
)
def test_an_address_that_is_none_is_refused_in_one_line(tmp_path, url):
    done = sp_search(tmp_path, "bench", "serve", f"url={url}", expect=2)
    assert done.stderr == f"sp-search: url: expected http://HOST:PORT, got {url!r}; https is not spoken here\n"


def test_an_address_without_a_port_has_that_of_http():
    assert server_address("http://[::1]:8300/") == ("::1", 8300)
    assert server_address("http://h") == ("h", 80)
