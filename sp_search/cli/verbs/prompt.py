"""`sp_search.load`: an exported prompt that answers in a script, a notebook, a thread or a worker of a web server."""

from __future__ import annotations

import html
import logging
import os
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from sp_search.cli.exported.by_name import cache_folder, corpus_choice, lm_choice
from sp_search.cli.exported.evaluation import evaluated
from sp_search.cli.exported.prompts import LMChoice, Prompts
from sp_search.cli.exported.unit_checks import lines_on_split
from sp_search.cli.verbs.utterances import Samples, UnitLine, Utterance, parsed
from sp_search.engine.runtime.device import DeviceName, DtypeName
from sp_search.errors import ConfigError, DataError
from sp_search.export.document import load_export
from sp_search.export.folder import task_of
from sp_search.export.predictor import Prediction
from sp_search.files.paths import is_there, user_path
from sp_search.host import cores
from sp_search.units.clips import Asked
from sp_search.units.manifest import SPLITS, load_corpus
from sp_search.units.partners import corpus_origin

_LOG = logging.getLogger("sp_search")


def load(
    prompt: str | os.PathLike[str],
    *,
    lm: str | os.PathLike[str] | None = None,
    device: DeviceName = "auto",
    dtype: DtypeName = "auto",
    cache: str | os.PathLike[str] | None = None,
    encoder: str | os.PathLike[str] | None = None,
) -> Prompt:
    """Load an exported prompt on its LM.

    Args:
        prompt: the exported folder, as `sp-search export` writes it; or `best` of a study.
        lm: the LM that it was trained on: a known name, or the path of a checkpoint or its folder. None takes the
            name or the path that the prompt was trained with.
        device: where it answers; auto takes a GPU where there is one.
        dtype: the arithmetic; auto is that of its training, so that answers are the same everywhere.
        cache: the folder for downloads and imported LMs; None is the one of the command line.
        encoder: the file of the speech model that units come from, where there is one; None downloads it once.

    Raises:
        UserError: the LM or the folder is wrong, or they don't belong together.
    """
    folder = user_path(os.fspath(prompt), "prompt").absolute()
    name = _lm_of(load_export(folder)[1]) if lm is None else os.fspath(lm)
    kept = cache_folder(cache)
    chosen = lm_choice(name, f"{folder} was trained on it" if lm is None else "")
    speech = None if encoder is None else user_path(os.fspath(encoder), "encoder").absolute()
    choice = LMChoice(*chosen, kept, speech)
    return Prompt(Prompts([folder], choice, device=device, dtype=dtype, threads=cores()))


def _lm_of(document: Mapping[str, Any]) -> str:
    """What the LM of a prompt was at its training: its path where that is still there, else its name."""
    name, path = str(document["lm"]["name"]), document["lm"].get("path")
    return path if isinstance(path, str) and is_there(Path(path)) else name


class Prompt:
    """An exported prompt, ready to answer; `load` makes one.

    Threads may share it: they answer one after the other. A process that was forked off may use it too, with one
    thread, where it is on the CPU: start as many workers as there are cores.
    """

    def __init__(self, prompts: Prompts) -> None:
        """Answer with the one prompt of these."""
        (self._loaded,) = prompts.loaded
        self._prompts = prompts
        self._lock, self._is_forked = threading.Lock(), False
        _in_forked_processes(weakref.ref(self))
        for line in prompts.check_units():
            _LOG.warning(line)

    @property
    def folder(self) -> Path:
        """The exported folder."""
        return self._loaded.folder

    @property
    def document(self) -> Mapping[str, Any]:
        """All that is known of the prompt: its `prompt.json`."""
        return self._loaded.document

    @property
    def task(self) -> str:
        """The name of its task, as intent."""
        return str(self.document["task"])

    @property
    def metrics(self) -> Mapping[str, Mapping[str, float]]:
        """Its metrics at the end of its search, by split: `prompt.metrics["test"]["accuracy"]`."""
        found: Mapping[str, Mapping[str, float]] = self.document["metrics"]
        return found

    def predict(self, utterance: Utterance, rate: int | None = None) -> Prediction:
        """Answer one utterance.

        Args:
            utterance: the path of an audio file; units, as a line "71 12 57" or a sequence; or an array of samples,
                (S,) or (S, channels), full scale 1.
            rate: of the samples, Hz; None for all else.

        Raises:
            UserError: it can't be read, or is too long; or a rate is given with what has one, or with none.
        """
        found = self.predict_many([utterance], rate)
        if len(found) != 1:
            raise ConfigError(f"utterance: expected one, got {len(found)} in {utterance!r:.60}; use predict_many")
        return found[0]

    def predict_many(
        self, utterances: Iterable[Utterance] | str | os.PathLike[str], rate: int | None = None
    ) -> list[Prediction]:
        """Answer many utterances, in their order; together they take a fraction of the time of one by one.

        Args:
            utterances: a list of what `predict` takes, with the number in the list as the id of what is no file; or a
                path: of a folder of audio, a pattern as "clips/*.wav", a list of paths, or a file of unit lines.
            rate: of all samples, Hz; None for all else.

        Raises:
            UserError: one can't be read, or is too long; or a rate is given beside files or units.
        """
        self._check_process()
        if isinstance(utterances, str | os.PathLike):
            utterances = [user_path(os.fspath(utterances), "input", DataError)]
        given = [parsed(one, rate, str(number)) for number, one in enumerate(utterances, 1)]
        with self._lock:  # only now: what utterances come from may ask this prompt itself
            return self._answers(given)

    def evaluate(self, data: str | os.PathLike[str] = "demo", split: str = "test") -> dict[str, Any]:
        """Measure the prompt on a labelled split, the cheap rivals beside it, as `sp-search evaluate` prints it.

        Args:
            data: `demo`, or the folder of a corpus in units.
            split: train, valid or test.

        Raises:
            UserError: the corpus can't be read, or is of other units.
        """
        if split not in SPLITS:
            raise ConfigError(f"split: expected {', '.join(SPLITS)}, got {split!r}")
        name, folder, built_in = corpus_choice(data)
        corpus = load_corpus(folder, self._prompts.dictionary, name, field=task_of(self.document).field)
        origin = corpus_origin(None if built_in is not None else folder, built_in)
        lines = [*self._prompts.check_units(origin), *lines_on_split(self._loaded, corpus, split)]
        for line in lines:
            _LOG.info(line)
        self._check_process()
        with self._lock:
            return evaluated(self._loaded, corpus, split)

    def __repr__(self) -> str:
        return f"<Prompt for {self.task} on {self.document['lm']['name']}: {self._shown()}; {self.folder}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        cells = [
            ("task", self.task),
            ("LM", self.document["lm"]["name"]),
            ("trained on", self.document["data"]["name"]),
        ]
        rows = [*cells, ("test", self._shown()), ("folder", str(self.folder))]
        body = "".join(f"<tr><th>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>" for a, b in rows)
        return f"<table>{body}</table>"

    def _shown(self) -> str:
        of_test = self.metrics.get("test", {})
        return ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in of_test.items() if name != "loss")

    def _answers(self, given: Sequence[Asked | Samples | UnitLine]) -> list[Prediction]:
        """Neighbours of one kind are answered together."""
        found: list[Prediction] = []
        for _, neighbours in groupby(given, _kind):
            asked = Asked()
            for one in neighbours:
                if isinstance(one, Asked):
                    asked.clips.extend(one.clips)
                    asked.lines.extend(one.lines)
                else:
                    asked.lines.append(self._line(one))
            found.extend(best for (best,) in self._prompts.of_asked(asked, "input"))
        return found

    def _line(self, one: Samples | UnitLine) -> str:
        if isinstance(one, UnitLine):
            return one.line
        units = self._prompts.unitizer.units_of_samples(one.samples, f"utterance {one.id}")
        return UnitLine.of(one.id, units).line

    def _check_process(self) -> None:
        """Refuse a GPU in a process that was forked off.

        Raises:
            ConfigError: the prompt is on one.
        """
        if self._is_forked and self._prompts.device.type != "cpu":
            raise ConfigError(
                f"device: expected cpu in a process that was forked, got {self._prompts.device}; load the prompt in "
                f"the process that uses it"
            )

    def _after_fork(self) -> None:
        """Give the new process a lock of its own, and one thread: the others of OpenMP don't come along."""
        self._lock, self._is_forked = threading.Lock(), True
        torch.set_num_threads(1)


def _kind(one: Asked | Samples | UnitLine) -> int | str:
    """What neighbours have in common that are answered together; a file of lines has a form of its own."""
    if isinstance(one, Asked):
        return "clips" if one.clips else id(one)
    return "units"


def _in_forked_processes(prompt: weakref.ref[Prompt]) -> None:
    """Prepare a prompt for its use in every process that is forked off, as long as it is there."""

    def prepare() -> None:
        if (there := prompt()) is not None:
            there._after_fork()

    os.register_at_fork(after_in_child=prepare)
