"""A background thread that sends a spool while the search runs. Its errors never reach the search.

It polls the spool once a second, so that appending an event needs no lock. While the store is away, it retries after
1, 2, 4, ... up to 60 s, without end. It prints one line for the first failure and one when the store is back.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable

from sp_search.files.paths import is_disk_full
from sp_search.tracking.base.uri import redact
from sp_search.tracking.spool.jsonl_log import make_durable
from sp_search.tracking.spool.offsets import Offsets, StoreOffset
from sp_search.tracking.spool.spool import Spool
from sp_search.tracking.store.run_store import RunStore
from sp_search.tracking.upload.sender import Sender

_log = logging.getLogger(__name__)
_FIRST_WAIT_S, _LONGEST_WAIT_S, _CLOSING_WAIT_S = 1.0, 60.0, 0.5
_CLOSING_TRIES, _TELL_EVERY_S = 3, 5.0


class Uploader:
    """Sends one spool to one store from a daemon thread.

    Args:
        spool: is only read here.
        uri: of the store; printed without its credentials.
        connect: opens the store of a URI; called in the thread.
        interval_s: seconds between two polls.
    """

    def __init__(self, spool: Spool, uri: str, connect: Callable[[str], RunStore], interval_s: float = 1.0) -> None:
        self._spool, self._uri, self._connect, self._interval_s = spool, uri, connect, interval_s
        self._offset = StoreOffset(spool, uri)
        self._sender: Sender | None = None
        self._failures = 0  # since the last successful step
        self._closing, self._given_up = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow-uploader", daemon=True)

    @property
    def run_id(self) -> str | None:
        """The id of the study's run in MLflow, once known."""
        return None if self._sender is None else self._sender.run_id

    @property
    def sent(self) -> int:
        """The number of events and files that the store has taken."""
        return 0 if self._sender is None else self._sender.sent

    @property
    def answered(self) -> int:
        """The number of requests to which the store gave an answer."""
        return 0 if self._sender is None else self._sender.answered

    @property
    def rejected(self) -> int:
        """The number of events and files that the store refused for good."""
        return 0 if self._sender is None else self._sender.rejected

    @property
    def torn(self) -> int:
        """The number of damaged lines in the spool."""
        return 0 if self._sender is None else self._sender.torn

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def send_all_again(self) -> None:
        """Send everything again; call it before `start`."""
        self._offset.move(Offsets())

    def left(self) -> int:
        """The number of events and files that the store does not have yet."""
        return self._offset.left()

    def drain(self, stall_s: float, tell: Callable[[int], object]) -> int:
        """Send the rest, as long as the store answers something every `stall_s` seconds. Returns how many are left.

        Args:
            stall_s: seconds.
            tell: is told how many are left, every few seconds.
        """
        self._closing.set()
        answered, heard_at = self.answered, time.monotonic()
        while True:
            self._thread.join(min(stall_s, _TELL_EVERY_S))
            if self.answered > answered:
                answered, heard_at = self.answered, time.monotonic()
            left = self.left()
            if not self._thread.is_alive() or time.monotonic() - heard_at >= stall_s:
                self._given_up.set()
                return left
            tell(left)

    def close(self, timeout_s: float) -> int:
        """Send the rest for at most `timeout_s` seconds, then stop. Returns and prints how many are left.

        A store that does not answer is given up after a few tries: it won't be up within seconds. Nothing is printed
        where the user has interrupted the search: that has its own line, and the same command sends the rest.
        """
        self._closing.set()
        deadline, tried = time.monotonic() + timeout_s, self._failures
        while self._thread.is_alive() and (left_s := deadline - time.monotonic()) > 0:
            self._thread.join(min(left_s, _CLOSING_WAIT_S))
            if self._failures >= tried + _CLOSING_TRIES:
                break
        self._given_up.set()
        left = self.left()
        if left and not isinstance(sys.exc_info()[1], KeyboardInterrupt):
            _log.warning(
                "MLflow at %s has not taken %d events yet; they are safe in %s: run `sp-search sync` to send them",
                redact(self._uri), left, self._spool.folder,
            )  # fmt: skip
        return left

    def _run(self) -> None:
        while (lock := self._spool.lock_sender()) is None:
            if self._given_up.wait(self._interval_s):
                return
        try:
            self._send_until_closed()
        finally:
            lock.close()

    def _send_until_closed(self) -> None:
        next_try = 0.0
        while not self._given_up.is_set():
            closing = self._closing.is_set()
            more = False
            if closing or time.monotonic() >= next_try:
                more = self._try_step()
                next_try = time.monotonic() + self._wait_s()
                if closing and not more and not self._failures:
                    return
            else:
                make_durable(self._spool.events)
            if self._failures and closing:
                self._given_up.wait(_CLOSING_WAIT_S)
            elif not more:
                self._closing.wait(self._interval_s)

    def _try_step(self) -> bool:
        """One step of the sender. Returns True if there is more to send and the store accepts it."""
        try:
            if self._sender is None:
                self._sender = Sender(self._spool, self._offset, self._connect(self._uri))
            more = self._sender.step()
        except Exception as error:  # noqa: BLE001 - drivers raise anything, and a search must not end because of them
            self._failures += 1
            if self._failures == 1:
                self._say_why(error)
            return False
        if self._failures:
            self._failures = 0
            _log.warning("MLflow at %s is back; %d events to send", redact(self._uri), self.left())
        return more

    def _say_why(self, error: Exception) -> None:
        """Say why nothing is sent for now: a disk of this machine that is full is no fault of the store."""
        text = redact(str(error)).splitlines() or [type(error).__name__]
        what = "a disk is full" if is_disk_full(error) else f"MLflow at {redact(self._uri)} is away"
        _log.warning("%s (%s); the search goes on, events for MLflow wait in %s", what, text[0], self._spool.folder)

    def _wait_s(self) -> float:
        return min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (self._failures - 1)) if self._failures else 0.0
