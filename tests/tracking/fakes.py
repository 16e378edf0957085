"""A store of runs in memory that takes the same thing twice as MLflow does, and a study to tell it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sp_search.metrics.tally import Tally
from sp_search.metrics.tally_file import TALLY_FILE, write_tally
from sp_search.tracking.api.tracker import MlflowTracker
from sp_search.tracking.store.model import WinnerModel
from sp_search.tracking.store.run_store import RejectedError, RunMissingError, RunRef
from sp_search.tracking.store.run_updates import MetricPoint, Start
from sp_search.tracking.store.schema import PARENT_TAG, DatasetUse
from sp_search.types import Report

INFO = {"study": "demo", "task": "intent", "data_fingerprint": "d" * 64, "data": "tiny", "seed": 0}
SUMMARY = {
    "study": "demo",
    "trials": {"complete": 1, "pruned": 1, "failed": 0},
    "best": {
        "trial": 0,
        "params": {"lr": 0.01, "depth": 6},
        "valid": {"accuracy": 0.75},
        "test": {"accuracy": 0.5},
        "trained_parameters": 1024,
        "stored_bytes": 4096,
    },
    "baseline": {"name": "n-grams", "valid": {"accuracy": 0.5}, "test": {"accuracy": 0.25}},
    "wall_s": 12.5,
    "trial_s": 20.0,
    "mlflow_run_id": "",
}


def won(**changes) -> dict:
    """A summary with all that is said of a winner."""
    answer = {"valid": {"accuracy": 0.75}, "test": {"accuracy": 0.5}, "intervals": {"accuracy": [0.25, 0.75]}}
    return SUMMARY | {
        "task": "intent", "metric": "accuracy", "lm": {"name": "big"},
        "data": {"name": "tiny", "fingerprint": "d" * 64},
        "best": SUMMARY["best"] | answer | {"seeds": [1], "members": [{"method": "prompt"}]},
        "answers": {"single": answer}, "setting": answer,
        "baseline": SUMMARY["baseline"] | answer | {"against": {"verdict": "beats n-grams by 0.250"}},
    } | changes  # fmt: skip


def leave_winner(study_dir: Path, hits: Sequence[int], tensors: bytes = b"weights") -> None:
    """The exported folder of a winner that was right in these utterances of test."""
    folder = study_dir / "best"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prompt.safetensors").write_bytes(tensors)
    if not (folder / "MLmodel").exists():
        (folder / "MLmodel").write_text("{}")
    write_tally(folder / TALLY_FILE, Tally.of([(float(hit), 1.0) for hit in hits]))


@dataclass
class FakeRun:
    name: str
    tags: dict[str, str]
    status: str = "RUNNING"
    end_ms: int = 0
    params: dict[str, str] = field(default_factory=dict)
    points: list[MetricPoint] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    datasets: list[DatasetUse] = field(default_factory=list)


class FakeStore:
    """Runs by id; `disturb` is asked before and after the effect of every request and may raise."""

    def __init__(self, disturb: Callable[[str], None] = lambda moment: None) -> None:
        self.runs: dict[str, FakeRun] = {}
        self.models: dict[tuple[str, str], tuple[WinnerModel, dict[str, bytes]]] = {}  # by run and digest
        self.requests: list[str] = []
        self.experiment = ""
        self.disturb = disturb

    def find_runs(self, experiment: str, identity: Mapping[str, str]) -> dict[int | None, RunRef]:
        self._begin("find_runs")
        self.experiment = experiment
        found = {}
        for run_id, run in self.runs.items():
            if identity.items() <= run.tags.items():
                trial = run.tags.get("sp_search.trial")
                found[None if trial is None else int(trial)] = RunRef(run_id, run.status)
        self.disturb("after find_runs")
        return found

    def create_run(self, start: Start, parent_id: str | None) -> str:
        self._begin("create_run")
        run_id = f"run{len(self.runs)}"
        self.runs[run_id] = FakeRun(start.name, dict(start.tags))
        if parent_id is not None:
            self.runs[run_id].tags[PARENT_TAG] = parent_id
        self.disturb("after create_run")
        return run_id

    def log(
        self, run_id: str, params: Mapping[str, str], metrics: Sequence[MetricPoint], tags: Mapping[str, str]
    ) -> None:
        self._begin("log")
        run = self._run(run_id)
        if any(run.params.get(name, value) != value for name, value in params.items()):
            raise RejectedError("Changing param values is not allowed")
        run.params |= params
        run.points += [point for point in metrics if point not in run.points]
        run.tags |= tags
        self.disturb("after log")

    def log_datasets(self, run_id: str, datasets: Sequence[DatasetUse]) -> None:
        self._begin("log_datasets")
        run = self._run(run_id)
        run.datasets += [one for one in datasets if one not in run.datasets]
        self.disturb("after log_datasets")

    def set_status(self, run_id: str, status: str, end_ms: int) -> None:
        self._begin("set_status")
        run = self._run(run_id)
        run.status, run.end_ms = status, end_ms
        self.disturb("after set_status")

    def publish(self, run_id: str, folder: Path, model: WinnerModel) -> str:
        self._begin("publish")
        self._run(run_id)
        is_new = (run_id, model.digest) not in self.models
        self.models[run_id, model.digest] = model, {path.name: path.read_bytes() for path in folder.iterdir()}
        self.disturb("after publish")
        return f"{model.registered_as}: published" if is_new else ""

    def upload(self, run_id: str, file: Path, artifact_path: str) -> None:
        self._begin("upload")
        self._run(run_id).files[f"{artifact_path}/{file.name}".lstrip("/")] = file.read_bytes()
        self.disturb("after upload")

    def by_trial(self) -> dict[int | None, FakeRun]:
        """The runs by trial, None for the parent; there must be one each."""
        trials = [run.tags.get("sp_search.trial") for run in self.runs.values()]
        assert len(set(trials)) == len(trials)
        return {None if t is None else int(t): run for t, run in zip(trials, self.runs.values(), strict=True)}

    def content(self) -> object:
        """All that matters of all runs and models, to be compared."""
        models = [(model.digest, files) for model, files in self.models.values()]
        return models, {
            number: (
                run.name,
                run.status,
                run.params,
                sorted(run.points, key=repr),
                run.tags,
                run.files,
                run.datasets,
            )
            for number, run in self.by_trial().items()
        }

    def _begin(self, request: str) -> None:
        self.requests.append(request)
        self.disturb(f"before {request}")

    def _run(self, run_id: str) -> FakeRun:
        if run_id not in self.runs:
            raise RunMissingError(run_id)
        return self.runs[run_id]


def report(utterances_seen: int, accuracy: float, diverged: str = "") -> Report:
    return Report(utterances_seen, {"valid_accuracy": accuracy, "valid_loss": 1 - accuracy}, diverged)


def tell_a_won_study(tracker: MlflowTracker, folder: Path) -> None:
    """The same with a winner, which is published as a model."""
    leave_winner(folder / "demo", [0, 1, 1])
    tell_a_study(tracker, folder, won())


def tell_a_study(tracker: MlflowTracker, folder: Path, summary: Mapping = SUMMARY) -> None:
    """Two trials, one confirm run, files, a summary."""
    prompt = folder / "prompt.safetensors"
    prompt.write_bytes(b"weights")
    tracker.study_opened(INFO)
    for number, accuracies in ((0, (0.25, 0.75, 0.5)), (1, (0.125,))):
        tracker.trial_started(number, {"lr": 0.01 * (number + 1), "depth": 6, "score_separator": True}, {"seed": 7})
        for at, accuracy in enumerate(accuracies):
            tracker.reported(number, report(320 * (at + 1), accuracy))
    tracker.trial_finished(1, "PRUNED", "asha at 320")
    tracker.artifact(0, prompt, "prompt")
    tracker.trial_finished(0, "COMPLETE", metrics={"stored_bytes": 4096})
    tracker.trial_started(2, {"lr": 0.01, "depth": 6}, {"role": "confirm", "of_trial": 0, "seed": 101})
    tracker.reported(2, report(960, 0.875))
    tracker.trial_finished(2, "COMPLETE")
    tracker.study_finished(summary)
