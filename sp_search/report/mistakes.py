"""What goes wrong: answers that are taken for each other, and utterances of valid with wrong answers.

Where answers are chosen, whole answers are counted. Where they are written, nearly every wrong one is another, so
words are counted: those that stand at the same place of the given and of the wanted answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
from plotly import graph_objects

from sp_search.report.markup import paragraph, table
from sp_search.report.plot import Plot, figure
from sp_search.report.valid_answers import ValidAnswer

MOST_ANSWERS, WORST, SHOWN = 40, 10, 20
"""Rows of the matrix, confusions that are listed, utterances that are listed."""
NOTHING = "(nothing)"
CELL_PX = 20
SCALE = [[0.0, "rgba(59,130,246,0.0)"], [0.001, "rgba(59,130,246,0.18)"], [1.0, "rgba(30,64,175,1.0)"]]


@dataclass(frozen=True)
class Confusions:
    """How often what was wanted got which answer: (wanted, given) -> count, right ones among them."""

    counts: Counter[tuple[str, str]]
    of_words: bool  # words of written answers, not whole answers

    @property
    def worst(self) -> list[tuple[str, str, int]]:
        """The most frequent confusions: wanted, given, count."""
        wrong = [(wanted, given, count) for (wanted, given), count in self.counts.items() if wanted != given]
        return sorted(wrong, key=lambda one: (-one[2], one[0], one[1]))[:WORST]

    @property
    def names(self) -> list[str]:
        """What the matrix has: all that was wanted or given, or those of the most errors, by name."""
        errors: Counter[str] = Counter()
        for (wanted, given), count in self.counts.items():
            for name in (wanted, given):
                errors[name] += count * (wanted != given)
        kept = sorted(errors, key=lambda name: (-errors[name], name))[:MOST_ANSWERS]
        return sorted(kept)


def confusions(answers: Sequence[ValidAnswer], *, are_written: bool) -> Confusions:
    """Count what is taken for what.

    Args:
        answers: to all of valid.
        are_written: by the LM, symbol by symbol; else each is one of those that training has.
    """
    if not are_written:
        pairs = ((" ".join(one.wanted), " ".join(one.given)) for one in answers)
        return Confusions(Counter(pairs), of_words=False)
    counts: Counter[tuple[str, str]] = Counter()
    for one in answers:
        counts.update(_words(one))
    return Confusions(counts, of_words=True)


def confusion_matrix(found: Confusions) -> Plot:
    """What was wanted down, what was given across; a darker cell has more."""
    title, names = "Confusion matrix", found.names
    if not found.counts:
        about = "The search writes the answers to valid when it ends. There are none yet."
        return Plot("confusions", title, about, None)
    place = {name: i for i, name in enumerate(names)}
    cells = [[0] * len(names) for _ in names]
    for (wanted, given), count in found.counts.items():
        if wanted in place and given in place:
            cells[place[wanted]][place[given]] = count
    made = figure(x="given", y="wanted")
    totals = [sum(row) or 1 for row in cells]
    made.add_trace(
        graph_objects.Heatmap(
            z=[[round(count / total, 4) for count in row] for row, total in zip(cells, totals, strict=True)],
            x=names, y=names, customdata=cells, colorscale=SCALE, zmin=0, zmax=1, showscale=False, xgap=1, ygap=1,
            hovertemplate="wanted %{y}<br>given %{x}<br>%{customdata} times<extra></extra>",
        )
    )  # fmt: skip
    made.update_xaxes(tickangle=-60, type="category", showgrid=False, dtick=1)
    made.update_yaxes(autorange="reversed", type="category", showgrid=False, dtick=1)
    what = "words of valid" if found.of_words else "answers of valid"
    everything = len({name for pair in found.counts for name in pair})
    kept = f" The {len(names)} of {everything} with the most errors are shown." if everything > len(names) else ""
    about = f"Shares of each row, over all {what}; point at a cell for its count.{kept}"
    return Plot("confusions", title, about, made, height=200 + CELL_PX * len(names))


def mistake_tables(found: Confusions, answers: Sequence[ValidAnswer]) -> str:
    """The worst confusions, and utterances with wrong answers, the surest mistakes first, as HTML."""
    if not answers:
        return ""
    wrong = [one for one in answers if not one.is_right]
    wrong.sort(key=lambda one: (-(one.score or 0.0), one.id))
    said = f"{len(wrong):,} of {len(answers):,} utterances of valid have a wrong answer."
    if not wrong:
        return paragraph(said)
    rows = [
        (one.id, " ".join(one.wanted), " ".join(one.given) or NOTHING, _share(one.score), _share(one.right))
        for one in wrong[:SHOWN]
    ]
    columns = ("utterance", "wanted", "given", "score of the given", "score of the wanted")
    worst = table(("wanted", "given", "times"), found.worst) if found.worst else ""
    return (
        f"<h3>Worst confusions</h3>{worst}<h3>Wrong answers</h3>"
        f"{paragraph(f'{said} The {len(rows)} with the highest score are listed.')}{table(columns, rows)}"
    )


def _words(one: ValidAnswer) -> list[tuple[str, str]]:
    """The words of a wanted and a given answer that stand at the same place by the shortest edit."""
    wanted, given = list(one.wanted), list(one.given)
    if not wanted or not given:
        return [(word, NOTHING) for word in wanted] + [(NOTHING, word) for word in given]
    pairs: list[tuple[str, str]] = []
    for chunk in jiwer.process_words(" ".join(wanted), " ".join(given)).alignments[0]:
        left = wanted[chunk.ref_start_idx : chunk.ref_end_idx]
        right = given[chunk.hyp_start_idx : chunk.hyp_end_idx]
        longest = max(len(left), len(right))
        left += [NOTHING] * (longest - len(left))
        right += [NOTHING] * (longest - len(right))
        pairs += zip(left, right, strict=True)
    return pairs


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
