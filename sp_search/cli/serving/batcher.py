"""Puts utterances that come in together into one pass of the LM. What does not fit into its queue is refused."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sp_search.cli.exported.prompts import Prompts
from sp_search.cli.serving.metrics import ServerMetrics
from sp_search.errors import DataError
from sp_search.export.predictor import Prediction
from sp_search.units.manifest import read_units
from sp_search.units.recordings import Recording
from sp_search.units.unit_line import unit_line

Answers = tuple[Prediction, ...]


class QueueFullError(Exception):
    """As much waits as may wait; says what there is no room for."""


class TooLargeError(Exception):
    """A request is larger than any may be, whatever waits: what was expected and got."""


@dataclass(frozen=True)
class Utterance:
    """One utterance of a request: units, or the bytes of an audio file."""

    id: str
    units: Any = None  # as a JSON line has them; None for audio
    audio: bytes = b""


@dataclass(frozen=True)
class _Waiting:
    utterance: Utterance
    answered: Future[Answers] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """One thread that answers what waits, together."""

    def __init__(
        self, prompts: Prompts, metrics: ServerMetrics, *, most: int, wait_s: float, longest_queue: int
    ) -> None:
        """Begin to answer, once what makes units of audio is built: nobody has to wait for it later.

        Args:
            prompts: that answer; nobody else uses them.
            metrics: is told of batches.
            most: utterances in a batch.
            wait_s: how long the first of a batch waits for others.
            longest_queue: utterances that may wait.
        """
        self._prompts, self._metrics, self._most, self._wait_s = prompts, metrics, most, wait_s
        self.audio_fault = prompts.audio_fault
        self._longest_queue, self._room = longest_queue, threading.Lock()
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="sp-search-answers", daemon=True)
        self._thread.start()

    @property
    def prompts(self) -> Prompts:
        """Those that answer now."""
        return self._prompts

    @property
    def waiting(self) -> int:
        """Utterances that wait."""
        return self._waiting.qsize()

    def submit(self, utterances: Sequence[Utterance]) -> list[Future[Answers]]:
        """Have utterances answered, all or none.

        Raises:
            TooLargeError: they don't fit into an empty queue.
            QueueFullError: they don't fit into the queue as it is.
        """
        if len(utterances) > self._longest_queue:
            raise TooLargeError(f"utterances: expected up to {self._longest_queue:,}, got {len(utterances):,}")
        added = [_Waiting(one) for one in utterances]
        with self._room:  # only the thread takes out, so that there can only be more room
            if self._waiting.qsize() + len(added) > self._longest_queue:
                raise QueueFullError(f"room for {len(added)}")
            for one in added:
                self._waiting.put(one)
        return [one.answered for one in added]

    def reload(self) -> None:
        """Load the prompts again; the old ones answer until the new ones are ready, and go on if these are faulty.

        Raises:
            UserError: they can't be loaded.
        """
        again = self._prompts.reloaded()
        self.audio_fault = again.audio_fault  # built here, while the old ones answer
        self._prompts = again

    def close(self) -> None:
        """Answer what waits, then end."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, goes_on = self._with_others(first)
            live = [one for one in batch if one.answered.set_running_or_notify_cancel()]
            if live:
                self._metrics.batch(len(live))
                self._answer(live)
            if not goes_on:
                return

    def _with_others(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        """The first and those that come soon after it; and whether more may come."""
        batch, until = [first], first.since + self._wait_s
        while len(batch) < self._most:
            try:
                one = self._waiting.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if one is None:
                return batch, False
            batch.append(one)
        return batch, True

    def _answer(self, batch: Sequence[_Waiting]) -> None:
        prompts, lines, sound = self._prompts, [], []
        for one in batch:
            try:
                line = _line(prompts, one.utterance)
                read_units([line], prompts.dictionary, "utterance")
            except Exception as error:  # noqa: BLE001, whatever it is, it belongs to this request alone
                one.answered.set_exception(error)
            else:
                lines.append(line)
                sound.append(one)
        if not sound:
            return
        try:
            found = list(prompts.of_lines(lines, "utterance"))
        except Exception as error:  # noqa: BLE001, as above
            if len(sound) == 1:
                sound[0].answered.set_exception(error)
                return
            for one in sound:  # one of them is at fault, and must not spoil the others
                self._answer([one])
            return
        for one, answers in zip(sound, found, strict=True):
            one.answered.set_result(answers)


def _line(prompts: Prompts, utterance: Utterance) -> str:
    """The utterance as a line of units.

    Raises:
        DataError: the audio can't be read.
        UserError: audio can't be answered.
    """
    if utterance.units is not None:
        return unit_line(utterance.id, utterance.units)
    if (fault := prompts.audio_fault) is not None:
        raise type(fault)(str(fault))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "audio"
        path.write_bytes(utterance.audio)
        heard = prompts.unitizer(utterance.id, Recording(id=utterance.id, split="", path=path, labels=()))
        if heard.fault:
            raise DataError(heard.fault.replace(str(path), utterance.id))
    return unit_line(utterance.id, list(heard.units))
