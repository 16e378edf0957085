"""Look at recordings before anything else: say what is there, what is wrong with it, and what to type next.

`sp-search init my.csv` reads a table of recordings as `prepare` does, and opens every audio file without decoding it.
It prints splits, lengths, sample rates, labels and their counts, faults by line, which tasks the corpus fits, and the
commands from here to an answer. It writes nothing.

`sp-search init clips` looks at a folder. The folder of a published corpus is recognised. For any other folder of
audio, to=my.csv writes a table with the columns path, split and label. They are taken from the names of the folders;
correct them where they are wrong. The exit code is 1 if there are faults.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sp_search.cli.advice.first_look import commands, corpus_lines, folder_lines, table_words
from sp_search.cli.advice.next_steps import shell_word
from sp_search.config import Settings
from sp_search.errors import ConfigError, DataError
from sp_search.files.paths import check_writable, is_there
from sp_search.units.corpora.audio_folder import AudioFolder, read_audio_folder, write_table
from sp_search.units.corpora.read import READERS, Form, read_corpus
from sp_search.units.corpora.survey import survey
from sp_search.units.corpus_tasks import fitting_tasks
from sp_search.units.recordings import BadRowsError, Recording

READS = ()
PLAIN = "corpus"
EXAMPLE = "sp-search init my.csv"


@dataclass(frozen=True, kw_only=True)
class InitSettings(Settings):
    """Where the recordings are."""

    corpus: Path  # a table, CSV or JSON lines with path, split and an answer; or a folder of audio
    form: Form = "manifest"  # of the corpus: manifest = a table, else the folder of a published corpus
    to: Path | None = None  # a new CSV file: the table of a folder of audio; null = write nothing
    characters: str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"  # that a text may have, if its characters are the labels


def run(config: InitSettings) -> int:
    """Print what there is; 1 if there are faults."""
    form = config.form
    if form == "manifest" and is_there(config.corpus, DataError) and config.corpus.is_dir():
        form = _recognised(config)
        if form == "manifest":
            return _folder(config)
    if config.to is not None:
        raise ConfigError(f"to: expected a folder of audio as the corpus, got {config.corpus}, which needs no table")
    return _corpus(config, config.corpus, form)


def _corpus(config: InitSettings, path: Path, form: Form) -> int:
    """What a corpus holds whose every row has its split and answer."""
    faults: tuple[str, ...] = ()
    try:
        recordings: tuple[Recording, ...] = tuple(read_corpus(form, path, config.characters))
    except BadRowsError as error:
        if form != "manifest" or not error.recordings:
            raise
        recordings, faults = error.recordings, error.faults
    found = survey(recordings)
    typed = shell_word(path)
    title = typed if form == "manifest" else f"{typed} (form={form})"
    for line in corpus_lines(title, found, faults):
        print(line)
    print()
    if not found.recordings:
        print(f"next: correct the paths; a relative path starts at the folder of the table, {path.parent}")
    else:
        clip = next((r for r in found.recordings if r.split == "test"), found.recordings[0]).path
        words = f"corpus={typed}" if form == "manifest" else f"form={form} corpus={typed}"
        for line in commands(words, path.name.split(".")[0], fitting_tasks(found.recordings), clip):
            print(line)
    return int(bool(faults or found.faults))


def _folder(config: InitSettings) -> int:
    """What a folder of audio holds that is no published corpus; with to= a table is made for it."""
    found = read_audio_folder(config.corpus)
    if config.to is None:
        seen = survey(found.recordings)
        for line in folder_lines(shell_word(config.corpus), found, seen):
            print(line)
        new = shell_word(Path.cwd() / f"{config.corpus.name}.csv")
        print(f"\nnext: sp-search init {shell_word(config.corpus)} to={new} writes a table for you to correct")
        return int(bool(seen.faults))
    _write(found, config.to)
    for line in (f"{shell_word(config.to)}: written, {len(found.files):,} files", *table_words(found)):
        print(line)
    print()
    if not found.labels:
        print(f"next: sp-search init {shell_word(config.to)}")
        return 0
    return _corpus(config, config.to, "manifest")


def _write(found: AudioFolder, to: Path) -> None:
    if is_there(to):
        raise ConfigError(f"to: expected the name of a new file, got {to}, which is there; take another name")
    check_writable(to.parent, "to")
    write_table(found, to)


def _recognised(config: InitSettings) -> Form:
    """The form of a published corpus; manifest where a folder is of none."""
    for form in READERS:
        if form != "manifest":
            with suppress(DataError):
                read_corpus(form, config.corpus, config.characters)
                return form
    return "manifest"
