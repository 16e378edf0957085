"""What `sp-search init` says of a corpus in audio, line by line, and which commands it proposes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sp_search.cli.advice.next_steps import NO_TASK, published_lm, shell_word, to_answer, to_search
from sp_search.durations import spoken
from sp_search.units.corpora.audio_folder import AudioFolder
from sp_search.units.corpora.survey import Survey
from sp_search.units.corpus_tasks import AnswerColumn, FittingTask, answer_columns
from sp_search.units.features import SAMPLE_RATE

SHOWN_LABELS, SHOWN_FAULTS, SHOWN = 8, 20, 3
PUBLISHED_UNITS = ("hubert", "hubert100")
"""A published speech model, as `units=` takes it, and the name of its units."""


def corpus_lines(title: str, found: Survey, row_faults: Sequence[str]) -> Iterator[str]:
    """What is in the corpus: its splits, its audio, its answers, and what is wrong or doubtful.

    Args:
        title: what the corpus is called, and its form.
        found: what its files show.
        row_faults: of its table, each beginning with `line N: `.
    """
    total = sum(split.seconds for split in found.splits.values())
    yield f"{title}: {len(found.recordings):,} utterances, {spoken(total)} of audio"
    yield ""
    yield from _splits(found)
    yield from _audio(found)
    columns = [column for column in answer_columns(found.recordings) if not _is_spelled_text(column, found)]
    for column in columns:
        yield ""
        yield from _column(column)
    yield from _doubts(found)
    yield from _faults([*row_faults, *found.faults])


def commands(corpus: str, name: str, tasks: Sequence[FittingTask], clip: Path) -> Iterator[str]:
    """The commands from the corpus to an answer.

    Args:
        corpus: the words of `prepare` that name it, as they are typed.
        name: of the corpus, for the new folders.
        tasks: that it fits; the first one is taken.
        clip: a recording to be answered in the end.
    """
    if not tasks:
        yield f"next: {NO_TASK}"
        return
    task, folder = tasks[0], Path("units", name)
    prepare = f"  sp-search prepare {corpus} to={shell_word(folder)}"
    yield "next, one after the other:"
    yield f"{prepare} units.quantizer=null"
    yield from (f"  {step}" for step in (*to_search(task, folder, ""), *to_answer(task, folder, "", clip)))
    units, quantizer = PUBLISHED_UNITS
    yield "or with a published speech model and LM, which are downloaded once, and without the second step:"
    yield f"{prepare} units={units}"
    yield from (f"  {step}" for step in to_search(task, folder, published_lm(quantizer)))


def folder_lines(name: str, found: AudioFolder, seen: Survey) -> Iterator[str]:
    """What is in a folder of audio that has no table."""
    seconds = sum(split.seconds for split in seen.splits.values())
    yield f"{name}: a folder with {len(seen.recordings):,} audio files, {spoken(seconds)}, and no table"
    if found.passed_over:
        yield f"files that are no audio: {found.passed_over:,}"
    yield from _audio(seen)
    if found.labels:
        shown = ", ".join(found.labels[:SHOWN_LABELS]) + (", ..." if len(found.labels) > SHOWN_LABELS else "")
        yield f"folders that may be labels: {len(found.labels)}, {shown}"
    yield from _faults(seen.faults)


def table_words(found: AudioFolder) -> Iterator[str]:
    """What to check in a table that was made for a folder."""
    if found.drawn:
        yield (
            "the splits were drawn file by file; if a speaker has several files, put all of them into one split, "
            "else the test shows how well the prompt knows these speakers"
        )
    if not found.labels:
        yield "the column label is empty, for no folder tells a label; fill it in"


def _splits(found: Survey) -> Iterator[str]:
    yield f"{'split':<8}{'utterances':>12}{'audio':>14}{'shortest':>11}{'median':>9}{'longest':>10}"
    for name, split in found.splits.items():
        lengths = f"{split.shortest_s:>9.1f} s{split.median_s:>7.1f} s{split.longest_s:>8.1f} s"
        yield f"{name:<8}{split.utterances:>12,}{spoken(split.seconds):>14}{lengths}"


def _audio(found: Survey) -> Iterator[str]:
    if found.files:
        kinds = [
            f"{count:,} of {rate:,} Hz, {channels} channel{'s' * (channels > 1)}"
            for (rate, channels), count in sorted(found.files.items(), key=lambda item: -item[1])
        ]
        made = "" if set(found.files) == {(SAMPLE_RATE, 1)} else f"; prepare makes {SAMPLE_RATE:,} Hz mono of all"
        yield f"files: {'; '.join(kinds)}{made}"


def _column(column: AnswerColumn) -> Iterator[str]:
    common = ", ".join(f"{answer:.40} {count:,}" for answer, count in column.counts.most_common(SHOWN_LABELS))
    more = ", ..." if len(column.counts) > SHOWN_LABELS else ""
    yield f"{column.name}: {len(column.counts):,} different answers: {common}{more}"
    yield f"  fits {column.task.words}" if column.task else f"  fits no task: {column.why_not}"


def _is_spelled_text(column: AnswerColumn, found: Survey) -> bool:
    """Whether labels are only the characters of a text, which has a column of its own."""
    return column.name == "labels" and column.task is None and any(r.text for r in found.recordings)


def _doubts(found: Survey) -> Iterator[str]:
    for what, doubtful in (
        ("speaker{s} of valid or test {are} in training too", found.speakers_heard),
        ("file{s} {are} in two splits", found.in_two_splits),
    ):
        if count := len(doubtful):
            told = what.format(s="s" * (count > 1), are="are" if count > 1 else "is")
            shown = ", ".join(map(str, doubtful[:SHOWN])) + ", ..." * (count > SHOWN)
            yield f"\ncheck: {count:,} {told} ({shown}); results will be too good"


def _faults(faults: Sequence[str]) -> Iterator[str]:
    if not faults:
        return
    yield f"\nfaults: {len(faults):,}"
    yield from (f"  {fault}" for fault in faults[:SHOWN_FAULTS])
    if len(faults) > SHOWN_FAULTS:
        yield f"  and {len(faults) - SHOWN_FAULTS:,} more"
