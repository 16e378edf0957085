"""What a search leaves in its study's folder: prompts of trials, the winner, answers of valid, report, summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from sp_search.cli.wiring.search_setup import PreparedSearch
from sp_search.config import Settings
from sp_search.engine.train.factory import TrainerSpec
from sp_search.engine.trial.task_data import TaskData
from sp_search.export.folder import of_task, write_export
from sp_search.metrics.parts import part_sizes
from sp_search.metrics.tally_file import TALLY_FILE, write_tally
from sp_search.prices import read_prices
from sp_search.report.comparison import alike, comparison
from sp_search.report.page import TABLE, Ending, write_report
from sp_search.report.valid_answers import write_answers
from sp_search.rivals.measured import measured_rivals
from sp_search.rivals.rival import Rival
from sp_search.rivals.together import with_both
from sp_search.search.base.callbacks import Observers
from sp_search.search.base.result import TrialResult
from sp_search.search.run.finished import Finished
from sp_search.search.study.pictures import study_pictures
from sp_search.search.study.records import study_record
from sp_search.search.study.study import OpenStudy
from sp_search.tracking.base.provenance import git_state, versions
from sp_search.types import Member
from sp_search.units.repeats import repeats_share

KEPT = ("prompt", "probe")
"""Methods of which every trial that reached its full budget is kept. Others are as large as an LM, or all end."""


class MeasuredStates(Protocol):
    """Trained states and what they came to."""

    @property
    def metrics(self) -> Mapping[str, Mapping[str, float]]: ...  # noqa: D102
    @property
    def intervals(self) -> Mapping[str, tuple[float, float]]: ...  # noqa: D102
    @property
    def facts(self) -> Mapping[str, Any]: ...  # noqa: D102


@dataclass(frozen=True)
class Outputs:
    """Writes them."""

    config: Settings
    prepared: PreparedSearch
    recipe: TrainerSpec  # with the arithmetic that the study was begun with
    rivals: Sequence[Rival]  # fitted
    opened: OpenStudy

    def keep(self, finished: TrialResult) -> Path | None:
        """Write the prompt of a trial that reached its full budget; where, or None where it is not kept."""
        if finished.facts["method"] not in KEPT:
            return None
        folder = self.prepared.settings.trial_folder(finished.number) / "prompt"
        self._export(folder, [finished.member], finished)
        return folder

    def conclude(self, finished: Finished, summary: dict[str, Any], told: Observers) -> None:
        """Write what answers, and the report; add to the summary what is not the search's own to know."""
        data, folder, best = self.prepared.data, self.prepared.settings.folder, finished.best
        splits, single = data.corpus.splits, finished.answers["single"]
        compared = with_both(self.rivals, data.task, splits)
        summary |= measured_rivals(compared, data.task, splits, data.known, data.decides, best.tally)
        summary["parts"] = parts_by_split(data)
        summary["lm"]["parameters"] = self.prepared.lm.parameters
        self._export(folder / "best", best.members, best)
        write_tally(folder / "best" / TALLY_FILE, best.tally)
        self._export(folder / "single", single.members, single)
        write_answers(folder, splits["valid"], best.answers)
        self._report(summary)
        for name in ("single", "report"):
            told.tell("artifact", None, folder / name, name)
        told.tell("table", f"report/{TABLE}")

    def _export(self, folder: Path, members: Sequence[Member], measured: MeasuredStates) -> None:
        document = export_document(self.config, self.prepared, self.recipe, measured)
        write_export(folder, members, document, self.prepared.quantizer)

    def _report(self, summary: dict[str, Any]) -> None:
        runs, metric = self.config.runs, summary["metric"]
        study = self.opened.study
        record, pictures = study_record(study, metric, self.config.study), study_pictures(study, metric)
        ending = Ending(summary, comparison(summary, alike(runs, summary)))
        write_report(runs, record, pictures, ending, prices=read_prices(self.config.budget.rate))


def export_document(
    config: Settings, prepared: PreparedSearch, recipe: TrainerSpec, measured: MeasuredStates
) -> Mapping[str, Any]:
    """What an exported folder says of its members, beside what each of them is."""
    git, given = git_state(), recipe.lm_tokens
    data, identity = prepared.data, prepared.identity
    tokens = {"tokens": asdict(given)} if given.described else {}
    own = {} if config.lm.path is None else {"path": str(config.lm.path.absolute())}
    return {
        **of_task(data.task, data.space),
        "study": config.study,
        "lm": {"name": identity.lm, "fingerprint": prepared.lm.fingerprint, **tokens, **own},
        "data": {"name": identity.data, "fingerprint": identity.data_fingerprint},
        "dictionary_fingerprint": data.dictionary.fingerprint,
        "units": {"repeats": repeats_share(data.train)},
        "metrics": {split: dict(metrics) for split, metrics in measured.metrics.items()},
        "intervals": dict(measured.intervals),
        "parts": parts_by_split(data),
        "facts": dict(measured.facts),
        "training": {
            "batch_size": config.schedule.batch_size,
            "stream_seed": config.schedule.seed,
            "dtype": recipe.dtype,
        },
        "example": _first_utterance(data),
        "versions": versions(),
        "git": {"sha": git.sha, "dirty": git.dirty},
    }


def _first_utterance(data: TaskData) -> str:
    """The units of valid's first utterance as a line: what an input looks like."""
    units = data.corpus.splits["valid"].source(0)
    return " ".join(data.dictionary.symbol(int(unit)) for unit in units)


def parts_by_split(data: TaskData) -> dict[str, dict[str, int]]:
    """Utterances of valid and test by part, heard before or new; empty where the corpus isn't parted."""
    splits = data.corpus.splits
    return {name: part_sizes(splits[name].answers, data.known) for name in ("valid", "test")} if data.known else {}
