"""Sends a spool to a store in steps of limited size: reduce new events to updates, send them, record the offset.

A step that fails raises and can be repeated. This process does not send the same run twice. A new process sends the
whole step again, which does not duplicate points. Only the creation of a run could be duplicated, so if that request
ended in doubt, the runs are looked up again first.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from sp_search.errors import DataError
from sp_search.metrics.tally_file import TALLY_FILE, read_tally
from sp_search.tracking.base.uri import redact
from sp_search.tracking.spool.jsonl_log import Chunk, Event, make_durable, read_chunk
from sp_search.tracking.spool.offsets import Offsets, StoreOffset
from sp_search.tracking.spool.spool import Spool, now_ms
from sp_search.tracking.store.model import WinnerModel, read_winner
from sp_search.tracking.store.run_store import RejectedError, RunMissingError, RunRef, RunStore
from sp_search.tracking.store.run_updates import KILLED, RUNNING, RunUpdate, Statuses, Updates, fold_events
from sp_search.tracking.store.schema import IDENTITY, PREFIX

_log = logging.getLogger(__name__)
_STEP_BYTES = 1 << 20  # of events in a step, some thousand reports


class Sender:
    """Sends one spool to one store. The caller must hold the spool's sender lock."""

    def __init__(self, spool: Spool, offset: StoreOffset, store: RunStore) -> None:
        self._spool, self._offset, self._store = spool, offset, store
        self._opened: Event | None = None
        self._runs: dict[int | None, RunRef] = {}  # the runs in the store
        self._runs_known = self._looked_up = False
        self._statuses: Statuses = {}  # after the events before _end
        fold_events(spool.all_events(until=offset.position.events), self._statuses)
        self._updates: Updates = {}
        self._end = offset.position.events  # the offset after the events in _updates
        self._in_step: Counter[int | None] = Counter()  # events before _end that were not refused, by run
        self.answered = 0  # requests to which the store gave an answer: a slow store is told from a dead one
        self.sent = 0  # events and files that the store has taken
        self.rejected = 0
        self.torn = 0

    @property
    def run_id(self) -> str | None:
        """The id of the parent run, once known."""
        parent = self._runs.get(None)
        return None if parent is None else parent.run_id

    def step(self) -> bool:
        """Send one step. Returns True if there is more.

        Raises:
            Exception: the store failed in a way that may pass.
        """
        self._opened = self._opened or self._spool.opened()
        if self._opened is None:
            return False
        try:
            if not self._runs_known:
                self._look_up(self._opened)
            if not self._updates:
                self._read()
            self._send_updates()
            if self._offset.position.events != self._end:
                self._offset.move(Offsets(self._end, self._offset.position.artifacts))
                self.sent += self._in_step.total()
                self._in_step.clear()
            self._send_files()
        except RunMissingError:
            self._runs_known = False
            raise
        return self._offset.left() > 0

    def _look_up(self, opened: Event) -> None:
        """Look up the runs in the store. If it has none of this study, start from the beginning."""
        identity = {f"{PREFIX}{key}": opened.data["tags"][f"{PREFIX}{key}"] for key in IDENTITY}
        self._runs = self._store.find_runs(opened.data["experiment"], identity)
        self.answered += not self._looked_up  # a store that fails in all else is asked for its runs again and again
        self._looked_up = True
        if None not in self._runs:
            self._offset.move(Offsets())
            self._updates, self._statuses = {}, {}
            self._in_step.clear()
        self._kill_strangers()
        self._runs_known = True

    def _kill_strangers(self) -> None:
        """Close trials that a search with another, lost spool left running; no event of this spool mentions them."""
        running = {number for number, run in self._runs.items() if number is not None and run.status == RUNNING}
        for event in self._spool.all_events() if running else ():
            running.discard(event.number)
        for number in running:
            self._store.set_status(self._runs[number].run_id, KILLED, now_ms())
            self._runs[number] = RunRef(self._runs[number].run_id, KILLED)

    def _read(self) -> None:
        chunk = read_chunk(self._spool.events, self._offset.position.events, _STEP_BYTES)
        make_durable(self._spool.events)  # events before the offset must not be lost on this machine
        self._tell_torn(chunk, self._spool.events)
        self._updates, faults = fold_events(chunk.events, self._statuses)
        self._end = chunk.end
        self._in_step = Counter(event.number for event in chunk.events)
        for fault in faults:
            self._reject(None, fault, {})

    def _send_updates(self) -> None:
        for number in list(self._updates):
            try:
                self._send(number, self._updates[number])
            except RejectedError as refused:
                self._reject(number, str(refused), {})
                del self._in_step[number]
            del self._updates[number]

    def _send(self, number: int | None, update: RunUpdate) -> None:
        if update == RunUpdate():
            return
        tags = update.tags
        if number in self._runs:
            tags = update.start.tags | tags if update.start is not None else tags
        elif update.start is None:
            raise RejectedError("its run is not in the store: deleted there, or its start was lost here")
        else:
            self._create(number, update)
        run = self._runs[number]
        if update.params or update.metrics or tags:
            self._log(number, run.run_id, update, tags)
        if update.datasets:
            self._store.log_datasets(run.run_id, update.datasets)
        if update.status is not None and update.status != run.status:
            self._store.set_status(run.run_id, update.status, update.end_ms)
            self.answered += 1
            self._runs[number] = RunRef(run.run_id, update.status)

    def _create(self, number: int | None, update: RunUpdate) -> None:
        assert update.start is not None
        self._runs_known = False  # until the answer arrives: the run may exist even if the request failed
        run_id = self._store.create_run(update.start, self.run_id)
        self._runs[number] = RunRef(run_id, RUNNING)
        self._runs_known = True
        self.answered += 1

    def _log(self, number: int | None, run_id: str, update: RunUpdate, tags: dict[str, str]) -> None:
        """Send an update.

        If the store refuses it, record that, and send it without parameters, which can't be changed.
        """
        try:
            self._store.log(run_id, update.params, update.metrics, tags)
        except RejectedError as refused:
            self._reject(number, str(refused), update.params)
            try:
                self._store.log(run_id, {}, update.metrics, tags)
            except RejectedError as again:
                points = {point.name: point.value for point in update.metrics}
                self._reject(number, str(again), {**points, **tags})
        self.answered += 1

    def _send_files(self) -> None:
        make_durable(self._spool.artifacts)
        while True:
            here = self._offset.position
            chunk = read_chunk(self._spool.artifacts, here.artifacts, max_bytes=1)
            if chunk.end == here.artifacts:
                return
            self._tell_torn(chunk, self._spool.artifacts)
            taken = 0
            for event in chunk.events:
                run = self._runs.get(event.number)
                if run is None and read_chunk(self._spool.events, here.events, max_bytes=1).end != here.events:
                    return  # its trial started after the events were read
                refused = self.rejected
                self._send_file(event, run)
                taken += self.rejected == refused
                self.answered += 1
            self._offset.move(Offsets(here.events, chunk.end))
            self.sent += taken

    def _send_file(self, event: Event, run: RunRef | None) -> None:
        if event.kind == "model":
            self._publish(event, run)
            return
        path = self._spool.folder / event.data["file"]
        try:
            if run is None:
                raise RejectedError("its run is not in the store")
            if not path.is_file():
                raise RejectedError("its copy in the spool is gone")
            self._store.upload(run.run_id, path, event.data["artifact_path"])
        except RejectedError as refused:
            self._reject(event.number, f"{path.name}: {refused}", {})

    def _publish(self, event: Event, run: RunRef | None) -> None:
        """Log and register the winner, with all that its folder had."""
        try:
            if run is None:
                raise RejectedError("its run is not in the store")
            with TemporaryDirectory() as name:
                winner = self._staged(event, Path(name))
                said = self._store.publish(run.run_id, Path(name), winner)
        except (RejectedError, DataError) as refused:
            self._reject(event.number, f"the winner as a model: {refused}", {})
            return
        if said:
            _log.warning("MLflow: %s", said)

    def _staged(self, event: Event, folder: Path) -> WinnerModel:
        """Put the files of a model into a folder; what is known of it.

        Raises:
            RejectedError: a copy is gone, or the event is of another version.
            DataError: the tally is damaged.
        """
        try:
            for file in event.data["files"]:
                shutil.copyfile(self._spool.folder / file, folder / Path(file).name)
            tally = read_tally(folder / TALLY_FILE) if (folder / TALLY_FILE).exists() else None
            return read_winner(event.data, tally)
        except FileNotFoundError as error:
            raise RejectedError(f"its copy {Path(error.filename).name} in the spool is gone") from error
        except (KeyError, TypeError) as error:
            raise RejectedError(f"expected a model of this version, got one without {error}") from error

    def _tell_torn(self, chunk: Chunk, path: Path) -> None:
        for offset in chunk.torn:
            self.torn += 1
            _log.warning("%s byte %d: expected an event, got a line cut off by a crash; left out", path, offset)

    def _reject(self, number: int | None, reason: str, content: Mapping[str, object]) -> None:
        """Record in the spool's folder what can't be sent, and print a line the first time."""
        if not self.rejected:
            where = "the study" if number is None else f"trial {number}"
            _log.warning("MLflow: %s: %s; kept in %s", where, redact(reason), self._spool.rejected)
        self.rejected += 1
        line = json.dumps({"number": number, "reason": redact(reason), "content": dict(content)})
        with self._spool.rejected.open("a") as stream:
            stream.write(line + "\n")
