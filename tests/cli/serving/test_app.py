"""`sp-search serve` over real sockets, on a small prompt."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from sp_search.cli.exported.prompts import LMChoice, Prompts
from sp_search.cli.serving.batcher import Batcher, QueueFullError, Utterance
from sp_search.cli.serving.metrics import ServerMetrics
from sp_search.published.catalogue import ENCODERS
from sp_search.units.audio import load_audio
from sp_search.units.encoder import EncoderSettings
from sp_search.units.quantizer import EncoderFeatures
from tests.cli.serving.running import running
from tests.tiny import UNITS
from tests.units.speech import quantizer, write_hum

LIMITS = {"most": 16, "wait_s": 0.002, "longest_queue": 64}


@pytest.fixture(scope="module")
def prompts(exported, tmp_path_factory):
    choice = LMChoice(exported.lm, None, tmp_path_factory.mktemp("cache"))
    return lambda: Prompts([exported.folder], choice, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def served(prompts):
    with running(prompts(), **LIMITS) as server:
        yield server


def units_of(number):
    return [(number * 7 + at * (number % 5)) % UNITS for at in range(3 + number % 9)]


def post(served, record, path="/predict", **more):
    status, _, found = served.ask("POST", path, json.dumps(record), **{"content-type": "application/json"}, **more)
    return status, found


def wait_for(ask, is_it):
    """The first answer that is the one; the last one after ten seconds."""
    until = time.monotonic() + 10
    while not is_it(found := ask()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def test_a_thousand_requests_of_32_clients_are_all_answered_as_one_by_one(served, prompts):
    lines = [json.dumps({"id": str(i), "units": units_of(i)}) for i in range(1000)]
    wanted = [answer for (answer,) in prompts().of_lines(lines, "here")]
    own = threading.local()

    def ask(number):
        own.connection = getattr(own, "connection", None) or served.connect()
        return post(served, {"id": str(number), "units": units_of(number)}, connection=own.connection)

    with ThreadPoolExecutor(32) as clients:
        found = list(clients.map(ask, range(1000)))
    assert {status for status, _ in found} == {200}
    for (_, record), answer in zip(found, wanted, strict=True):
        assert (record["id"], record["labels"]) == (answer.id, list(answer.labels))
        assert record["score"] == pytest.approx(answer.score, abs=1e-5)
    _, _, text = served.ask("GET", "/metrics")
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert int(counts['sp_search_requests_total{status="200"}']) >= 1000
    assert int(counts["sp_search_utterances_total"]) >= 1000 > int(counts["sp_search_batches_total"])


def test_audio_is_answered_as_its_units_and_many_at_once_in_their_order(served, tmp_path):
    path = write_hum(tmp_path / "clip.wav")
    units = quantizer(units=UNITS).units(load_audio(path))
    status, _, by_ear = served.ask("POST", "/predict?id=clip.wav&top=2", path.read_bytes())
    assert status == 200
    by_units = post(served, {"id": "clip.wav", "units": units.tolist()}, "/predict?top=2")
    assert by_units == (200, by_ear)
    assert len(by_ear["scores"]) == 2
    status, many = post(served, {"utterances": [{"units": "1 2 3"}, {"id": "b", "units": [4, 5]}]})
    assert (status, [one["id"] for one in many["answers"]]) == (200, ["1", "b"])


@pytest.mark.parametrize(
    ("path", "body", "kind", "message"),
    [
        ("/predict", b"{", "application/json", "body: expected JSON, got "),
        ("/predict", b"", "", "body: expected JSON with units, or the bytes of an audio file, got nothing"),
        (
            "/predict",
            b"no audio",
            "audio/wav",
            "audio: expected an audio file that libsndfile reads, got: Format not",
        ),
        ("/predict", b'{"text": "hi"}', "application/json", 'utterance 1: expected an object with "units", a string'),
        ("/predict", b'{"utterances": []}', "application/json", 'body: expected "utterances" as a list with one or'),
        ("/predict", b'{"units": "1 999"}', "application/json", "utterance line 1: expected units of the LM's dict"),
        ("/predict", b'{"units": []}', "application/json", "utterance line 1: expected at least one unit, got an em"),
        ("/predict?top=0", b'{"units": "1"}', "application/json", "top: expected 1 or more, got '0'"),
        (f"/predict?top={'9' * 5000}", b'{"units": "1"}', "application/json", "top: expected 1 or more, got '9999"),
        ("/predict", b'{"id": "\\ud800", "units": "1"}', "application/json", "utterance line 1: expected whole char"),
        ("/predict", b'{"units": [1.5]}', "application/json", 'utterance line 1: expected "units" as whole numbers'),
        ("/predict", b"[" * 100_000, "application/json", "body: expected JSON, got "),
    ],
)
def test_a_bad_request_is_a_400_with_one_line(served, path, body, kind, message):
    status, _, found = served.ask("POST", path, body, **{"content-type": kind})
    assert (status, set(found)) == (400, {"error"})
    assert found["error"].startswith(message)
    assert "\n" not in found["error"]


def test_an_utterance_that_is_too_long_does_not_spoil_those_beside_it(served):
    futures = served.batcher.submit([Utterance("a", [1, 2]), Utterance("b", [1] * 5000), Utterance("c", [3])])
    assert [futures[0].result(30)[0].id, futures[2].result(30)[0].id] == ["a", "c"]
    assert "expected at most" in str(futures[1].exception(30))


def test_a_body_that_is_too_large_is_a_413(served):
    status, _, found = served.ask("POST", "/predict", b"x" * 200_000, **{"content-type": "audio/wav"})
    assert (status, found["error"].partition(",")[0]) == (413, "body: expected up to 100")


def test_a_full_queue_is_a_429_that_says_when_to_try_again(served, monkeypatch):
    def full(utterances):
        raise QueueFullError("room for 1")

    monkeypatch.setattr(served.batcher, "submit", full)
    status, headers, found = served.ask("POST", "/predict", b'{"units": "1"}', **{"content-type": "application/json"})
    assert (status, headers["retry-after"]) == (429, "1")
    assert found["error"] == "queue: expected room for 1, got a full one; try again in 1 s"


def test_a_queue_takes_all_utterances_of_a_request_or_none(prompts):
    class Held(Batcher):
        def _run(self):
            held.wait(30)
            super()._run()

    held = threading.Event()
    batcher = Held(prompts(), ServerMetrics(), most=4, wait_s=0.0, longest_queue=3)
    kept = batcher.submit([Utterance("a", [1]), Utterance("b", [2])])
    with pytest.raises(QueueFullError, match=r"^room for 2$"):
        batcher.submit([Utterance("c", [1]), Utterance("d", [2])])
    held.set()
    assert [future.result(30)[0].id for future in kept] == ["a", "b"]
    batcher.close()


def test_a_request_that_no_queue_has_room_for_is_a_413(served):
    status, found = post(served, {"utterances": [{"units": "1"}] * 65})
    assert (status, found["error"]) == (413, "utterances: expected up to 64, got 65; send fewer utterances at once")


def test_requests_are_refused_where_too_many_bytes_wait_and_taken_again_behind_them(prompts):
    body = b'{"units": "1"}' + b" " * 200
    with (
        running(prompts(), waiting_bytes=len(body)) as server,
        socket.create_connection(("127.0.0.1", server.port)) as slow,
    ):
        begun = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        slow.sendall(begun + body[:100])
        status = wait_for(lambda: server.ask("POST", "/predict", body), lambda found: found[0] == 429)
        assert status[2]["error"].startswith("queue: expected room for 214 bytes more, got a full one; try again in")
        slow.sendall(body[100:])
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
        assert server.ask("POST", "/predict", body)[0] == 200


def test_a_client_that_goes_away_during_its_upload_is_counted_as_such_and_is_no_fault(served, caplog):
    with socket.create_connection(("127.0.0.1", served.port)) as slow:
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        wait_for(lambda: served.ask("GET", "/health"), lambda _: True)
    counted = 'sp_search_requests_total{status="499"} 1'
    text = wait_for(lambda: served.ask("GET", "/metrics"), lambda found: counted in found[2])[2]
    assert counted in text
    assert 'status="500"' not in text
    assert "Exception in ASGI application" not in caplog.text


def test_audio_whose_speech_model_is_not_here_is_a_503_and_nothing_is_downloaded(prompts, monkeypatch, tmp_path):
    settings = EncoderSettings(kind="hubert", layer=6, window_s=1, overlap_s=0)
    features = EncoderFeatures(settings=settings, checkpoint=ENCODERS["hubert"].sha256 or "", size=768)
    made, of_prompt = prompts(), SimpleNamespace(features=features)
    monkeypatch.setattr("sp_search.cli.exported.prompts.needed_quantizer", lambda *_: of_prompt)
    monkeypatch.setattr("sp_search.units.textless.fetch", lambda *_: pytest.fail("downloaded"))
    with running(made) as server:
        status, _, found = server.ask("POST", "/predict", write_hum(tmp_path / "clip.wav").read_bytes())
        assert status == 503
        assert found["error"].startswith("audio: expected the speech model that its units come from, found no /")
        assert post(server, {"units": "1 2 3"})[0] == 200


def test_what_makes_units_of_audio_is_built_before_the_first_request(served):
    assert served.batcher.audio_fault is None
    assert "unitizer" in vars(served.batcher.prompts)


def test_prompts_are_loaded_again_without_a_stop_and_a_faulty_folder_changes_nothing(served, exported):
    before = served.batcher.prompts
    status, _, found = served.ask("POST", "/reload")
    assert (status, found["status"], [one["task"] for one in found["prompts"]]) == (200, "ok", ["intent"])
    assert served.batcher.prompts is not before
    whole = (exported.folder / "prompt.json").read_bytes()
    now = served.batcher.prompts
    try:
        (exported.folder / "prompt.json").write_bytes(whole[:-9])
        status, _, found = served.ask("POST", "/reload")
    finally:
        (exported.folder / "prompt.json").write_bytes(whole)
    assert status == 400
    assert found["error"].endswith("; the prompts of before go on answering")
    assert served.batcher.prompts is now
    assert post(served, {"units": "1 2 3"})[0] == 200
