"""Word and character error rate: substitutions, deletions and insertions over the length of what was wanted."""

from __future__ import annotations

from collections.abc import Sequence

from jiwer import CharacterOutput, WordOutput, process_characters, process_words

from sp_search.metrics.tally import Tally


def wer(predicted: Sequence[str], wanted: Sequence[str]) -> Tally:
    """Word errors over words wanted, an utterance a text; words lie between blanks, and case counts.

    Raises:
        DataError: no word is wanted.
    """
    return _tally(process_words(list(wanted), list(predicted)))


def cer(predicted: Sequence[str], wanted: Sequence[str]) -> Tally:
    """Character errors over characters wanted; a blank between words is one, those at the ends are none.

    Raises:
        DataError: no character is wanted.
    """
    return _tally(process_characters(list(wanted), list(predicted)))


def _tally(aligned: WordOutput | CharacterOutput) -> Tally:
    """From how jiwer aligned each utterance: a chunk is a run of one kind of error, or of none."""
    errors = [
        sum(
            max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
            for chunk in chunks
            if chunk.type != "equal"
        )
        for chunks in aligned.alignments
    ]
    return Tally.of(list(zip(errors, map(len, aligned.references), strict=True)))
