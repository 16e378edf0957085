import math
import threading
import time

import numpy as np
import pytest

from sp_search.tracking.spool.jsonl_log import Event, LogWriter, count_lines, decode, encode, read_chunk


def event(number, **data):
    return Event("reported", 1700000000000 + number, number, data)


def write(path, events):
    log = LogWriter(path)
    for one in events:
        log.append(one)
    log.close()


def test_events_come_back_as_they_were_told(tmp_path):
    told = [event(i, metrics={"valid_accuracy": i / 7}, tags={"text": "a\nb \u2028 ü"}) for i in range(5)]
    write(tmp_path / "log", told)
    assert read_chunk(tmp_path / "log", 0).events == tuple(told)


def test_reading_in_small_chunks_gives_the_same_events(tmp_path):
    told = [event(i, text="x" * i) for i in range(40)]
    write(tmp_path / "log", told)
    seen, offset = [], 0
    while (chunk := read_chunk(tmp_path / "log", offset, max_bytes=100)).end != offset:
        seen, offset = seen + list(chunk.events), chunk.end
    assert seen == told


@pytest.mark.parametrize("lost", range(1, len(encode(event(1, metrics={"a": 1.5}))) + 1))
def test_a_line_cut_off_by_a_crash_costs_at_most_that_line(tmp_path, lost):
    path, last = tmp_path / "log", event(1, metrics={"a": 1.5})
    write(path, [event(0), last])
    kept = path.read_bytes()[:-lost]
    path.write_bytes(kept)
    write(path, [event(2)])
    chunk = read_chunk(path, 0)
    whole = (last,) if lost == 1 else ()  # only the line's end is missing
    nothing_of_it = lost == len(encode(last))
    assert chunk.events == (event(0), *whole, event(2))
    assert chunk.torn == (() if whole or nothing_of_it else (len(encode(event(0))),))


def test_a_line_still_being_written_is_left_for_later(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(encode(event(0)) + encode(event(1))[:-9])
    chunk = read_chunk(path, 0)
    assert chunk.events == (event(0),)
    assert chunk.torn == ()
    assert chunk.end == len(encode(event(0)))
    assert count_lines(path, 0) == 1


def test_after_a_write_that_failed_half_way_the_next_event_is_whole(tmp_path, monkeypatch):
    import os

    log, write_all = LogWriter(tmp_path / "log"), os.write

    def half_then_full_disk(fd, line):
        write_all(fd, line[: len(line) // 2])
        raise OSError(28, "No space left on device")

    log.append(event(0))
    monkeypatch.setattr(os, "write", half_then_full_disk)
    with pytest.raises(OSError, match="No space left"):
        log.append(event(1))
    monkeypatch.setattr(os, "write", write_all)
    log.append(event(2))
    assert read_chunk(tmp_path / "log", 0).events == (event(0), event(2))


def test_what_json_has_no_word_for_survives():
    told = {"nan": math.nan, "inf": -math.inf, "np": np.float32(0.5), "int": np.int64(3), "yes": np.bool_(True)}
    data = decode(encode(event(0, **told))).data
    assert math.isnan(float(data["nan"]))
    assert float(data["inf"]) == -math.inf
    assert (data["np"], data["int"], data["yes"]) == (0.5, 3, True)


def test_events_told_from_many_threads_are_all_whole(tmp_path):
    log = LogWriter(tmp_path / "log")
    threads = [
        threading.Thread(target=lambda n=n: [log.append(event(n, i=i, pad="x" * 500)) for i in range(200)])
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    chunk = read_chunk(tmp_path / "log", 0, max_bytes=1 << 24)
    assert sorted((e.number, e.data["i"]) for e in chunk.events) == [(n, i) for n in range(8) for i in range(200)]


def test_telling_an_event_takes_well_under_a_millisecond(tmp_path):
    log, seconds = LogWriter(tmp_path / "log"), []
    told = event(0, metrics=dict.fromkeys(("valid_accuracy", "valid_loss", "train_loss", "speed"), 0.123456789))
    for _ in range(2000):
        start = time.perf_counter()
        log.append(told)
        seconds.append(time.perf_counter() - start)
    assert np.median(seconds) < 1e-3
