"""Every form a corpus in audio comes in, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from sp_search.errors import DataError
from sp_search.files.paths import check_folder, is_there
from sp_search.units.corpora.audio_snips import read_audio_snips
from sp_search.units.corpora.fluent_commands import read_fluent_commands
from sp_search.units.corpora.lhotse import read_lhotse
from sp_search.units.corpora.librispeech import read_librispeech
from sp_search.units.corpora.speech_commands import read_speech_commands
from sp_search.units.recordings import Recording, read_manifest

Form = Literal["manifest", "speech_commands", "fluent_commands", "librispeech", "audio_snips", "lhotse"]
"""A CSV or JSON-lines file, a corpus as its archive unpacks, or a folder of lhotse's manifests."""
READERS: Mapping[Form, Callable[[Path, str], list[Recording]]] = {
    "manifest": read_manifest,
    "speech_commands": read_speech_commands,
    "fluent_commands": read_fluent_commands,
    "librispeech": read_librispeech,
    "audio_snips": read_audio_snips,
    "lhotse": read_lhotse,
}


def read_corpus(form: Form, path: Path, characters: str) -> list[Recording]:
    """Read a corpus.

    Args:
        form: which of the forms.
        path: its folder; for a plain manifest its file.
        characters: what a text may hold beside blanks, where its characters are the labels.

    Raises:
        DataError: it is not there in that form, or is bad.
    """
    if form != "manifest":
        check_folder(path, f"the folder of a corpus in the form {form}")
    elif is_there(path, DataError) and path.is_dir():
        raise DataError(f"{path}: expected a manifest, got a folder; is it of another form? ({', '.join(READERS)})")
    return READERS[form](path, characters)
