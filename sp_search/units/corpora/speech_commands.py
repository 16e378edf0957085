"""Speech Commands with SUPERB's twelve classes and its split (s3prl, `downstream/speech_commands`).

The folder has `speech_commands_v0.01` and `speech_commands_test_set_v0.01`, as their archives unpack; 0.02 likewise.
Train and valid are told apart by a hash of the speaker's name, so that a speaker is in one of them; what the hash
would test on is left out, for test is the test set. Silence of train and valid is cut from the background noise:
SUPERB draws a second of it anew each time, here every second of it is an utterance, one in ten of valid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import soundfile

from sp_search.errors import DataError
from sp_search.units.recordings import Recording

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
UNKNOWN, SILENCE = "unknown", "silence"
NOISE = "_background_noise_"
BUCKETS = 2**27
VALID_PERCENT, TEST_PERCENT = 10, 10
VALID_SECONDS = 10


def read_speech_commands(folder: Path, _: str) -> list[Recording]:
    """Its utterances, the answer being one of ten words, `unknown` or `silence`.

    Raises:
        DataError: one of the two folders is absent or empty, or there twice.
    """
    words, test = _inside(folder, "speech_commands_v0.0?"), _inside(folder, "speech_commands_test_set_v0.0?")
    found = [*_words(words), *_silence(words), *_test(test)]
    for split in ("train", "valid", "test"):
        if not any(recording.split == split for recording in found):
            raise DataError(f"{folder}: expected WORD/*.wav of the {split} split, found none")
    return found


def split_of(name: str) -> str:
    """The split of a file by its name, as the corpus's authors divide it: one speaker, one split."""
    speaker = name.partition("_nohash_")[0] if "_nohash_" in name else name
    bucket = int(hashlib.sha1(speaker.encode(), usedforsecurity=False).hexdigest(), 16) % BUCKETS
    percent = bucket * 100 / (BUCKETS - 1)
    if percent < VALID_PERCENT:
        return "valid"
    return "test" if percent < VALID_PERCENT + TEST_PERCENT else "train"


def keyword(word: str) -> str:
    """The class of a folder's or a text's word; none is silence."""
    if word in ("", "_silence_", NOISE):
        return SILENCE
    return word if word in WORDS else UNKNOWN


def _words(folder: Path) -> Iterator[Recording]:
    for path in sorted(folder.glob("*/*.wav")):
        word, split = path.parent.name, split_of(path.name)
        if word != NOISE and split != "test":
            answer = keyword(word)
            yield Recording(
                id=f"{word}/{path.stem}", split=split, path=path, labels=(answer,), fields={"keyword": answer}
            )


def _silence(folder: Path) -> Iterator[Recording]:
    for path in sorted((folder / NOISE).glob("*.wav")):
        try:
            seconds = int(soundfile.info(path).duration)
        except soundfile.LibsndfileError as error:
            raise DataError(f"{path}: expected background noise, got a file that libsndfile can't read") from error
        for second in range(seconds):
            split = "train" if (second + 1) % VALID_SECONDS else "valid"
            yield Recording(
                id=f"{NOISE}/{path.stem}/{second}",
                split=split,
                path=path,
                labels=(SILENCE,),
                fields={"keyword": SILENCE},
                start_s=float(second),
                duration_s=1.0,
            )


def _test(folder: Path) -> Iterator[Recording]:
    for path in sorted(folder.glob("*/*.wav")):
        word = path.parent.name
        answer = keyword(word)
        yield Recording(
            id=f"{word}/{path.stem}", split="test", path=path, labels=(answer,), fields={"keyword": answer}
        )


def _inside(folder: Path, pattern: str) -> Path:
    found = sorted(path for path in folder.glob(pattern) if path.is_dir())
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise DataError(f"{folder}: expected one folder {pattern.replace('?', 'N')}, found {names}")
    return found[0]
