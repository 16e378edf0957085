"""A made-up study in memory, with the files that its search would have left: no model, no Ray, always the same."""

import json
import math
import random
from datetime import datetime, timedelta
from pathlib import Path

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from sp_search.report.comparison import alike, comparison
from sp_search.report.page import Ending, write_report
from sp_search.report.valid_answers import write_answers
from sp_search.search.base.protocol import FACTS
from sp_search.search.base.rungs import report_points
from sp_search.search.study.contract import BEGUN_AS
from sp_search.search.study.pictures import study_pictures
from sp_search.search.study.records import study_record
from sp_search.search.study.trials import MEASURED, PARAMS, REASON, STOPPED
from sp_search.types import Answered
from tests.tiny import split_of

BUDGET, GRACE, FACTOR = 16_000, 1_000, 4
BEGAN = datetime(2026, 3, 4, 9, 30)
SPACE = {
    "position": CategoricalDistribution(["prefix", "infix"]),
    "prompt_length": IntDistribution(5, 160, log=True),
    "depth": IntDistribution(2, 4),
    "side": CategoricalDistribution(["top", "bottom"]),
    "init_scale": FloatDistribution(0.1, 1.0, log=True),
    "dropout": FloatDistribution(0.0, 0.2),
    "verbalizer": CategoricalDistribution(["linear", "likelihood", "frequency", "random", "kmeans"]),
    "lr": FloatDistribution(4e-3, 4e-2, log=True),
    "score_separator": CategoricalDistribution([True, False]),
    "label_smoothing": FloatDistribution(0.0, 0.2),
}
ACTIONS, OBJECTS, PLACES = ("on", "off", "up"), ("lights", "heat", "music"), ("hall", "kitchen", "none")


def made_study(trials: int, *, name: str = "intent-made", running: int = 0, seed: int = 0) -> optuna.Study:
    """A study whose accuracy depends on prompt length, rate and verbalizer, stopped at rungs as ASHA would."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    draw = random.Random(seed)
    study = optuna.create_study(study_name=name, direction="maximize")
    study.set_user_attr("identity", identity())
    study.set_user_attr(BEGUN_AS, {"budget": BUDGET, "grace": GRACE, "reduction_factor": FACTOR})
    points = report_points(BUDGET, GRACE, FACTOR)
    seen_at: dict[int, list[float]] = {point: [] for point in points}
    study.add_trials([
        _trial(number, draw, points, seen_at, is_running=number >= trials - running) for number in range(trials)
    ])  # fmt: skip
    if not running:
        best = study.best_trial.number
        runs = {f"{best}:{repeat}": {"valid_accuracy": 0.9 + 0.01 * repeat, "seed": repeat} for repeat in (1, 2, 3)}
        study.set_user_attr("confirmed", runs)
        study.set_user_attr("final", runs)
    return study


def identity() -> dict[str, str]:
    """Task, LM and data."""
    return {"task": "intent", "lm": "made-lm", "lm_fingerprint": "l", "data": "made", "data_fingerprint": "d"}


def write_folder(runs: Path, study: optuna.Study) -> None:
    """The summary, the workers' courses, the answers to valid and the exported document of a finished study."""
    folder = runs / study.study_name
    folder.mkdir(parents=True)
    write_courses(folder, study)
    if any(trial.state == TrialState.RUNNING for trial in study.trials):
        return
    (folder / "summary.json").write_text(json.dumps(summary_of(study)))
    (folder / "best").mkdir()
    made = {"git": {"sha": "0123456789abcdef", "dirty": "false"}, "versions": {"sp_search": "0.1.0"}}
    (folder / "best" / "prompt.json").write_text(json.dumps(made))
    write_answers(folder, *answers_to_valid(240))


def draw_report(runs: Path, study: optuna.Study, **options) -> Path:
    """The page of a study whose folder was written."""
    path = runs / study.study_name / "summary.json"
    summary = json.loads(path.read_text()) if path.exists() else None
    ending = Ending(summary, comparison(summary, alike(runs, summary))) if summary else None
    record = study_record(study, "accuracy")
    return write_report(runs, record, study_pictures(study, "accuracy"), ending, **options)


def answers_to_valid(count: int, seed: int = 1):
    """Utterances of valid, and the answers to them, of which a tenth is wrong in one place."""
    draw = random.Random(seed)
    wanted = [(draw.choice(ACTIONS), draw.choice(OBJECTS), draw.choice(PLACES)) for _ in range(count)]
    given = [(answer[0], draw.choice(OBJECTS), answer[2]) if draw.random() < 0.15 else answer for answer in wanted]
    valid = split_of([[5, 6]] * count, wanted, "valid")
    answers = [
        Answered(one, 0.9 if one == right else 0.6, 0.9 if one == right else 0.3)
        for one, right in zip(given, wanted, strict=True)
    ]
    return valid, answers


def summary_of(study: optuna.Study) -> dict:
    """As a search writes it."""
    best = study.best_trial
    single = answered(best.value, 57_528, 230_112, [member(best.number, 1.0)])
    pair = answered(best.value + 0.02, 175_000, 700_000, [member(best.number, 0.6), member(best.number, 0.4)])
    runs = [
        {"seed": s, **{split: {"accuracy": best.value + 0.01 * s} for split in ("valid", "test")}} for s in (0, 1, 2)
    ]
    mean = {"accuracy": best.value + 0.01, "loss": 0.3}
    return {
        "study": study.study_name, "task": "intent", "metric": "accuracy",
        "lm": {"name": "made-lm", "fingerprint": "l"}, "data": {"name": "made", "fingerprint": "d"},
        "trials": {"complete": 2, "pruned": len(study.trials) - 3, "failed": 1}, "failures": [],
        "best": {
            "trial": best.number, "params": best.user_attrs[PARAMS], "seeds": [0, 1, 2], **pair, "method": "prompt",
        },
        "answers": {"single": single, "prompts": pair},
        "setting": {"valid": mean, "test": mean, "runs": runs},
        "baseline": rival("n-grams", best.value - 0.06, 60_000, 263_988),
        "other_rivals": [rival("nearest training utterance", best.value - 0.09, 0, 397_392)],
        "wall_s": 1118.2, "trial_s": 1900.0, "device_s": {"cpu": 2000.0}, "engine_share": 0.95,
        "mlflow_run_id": None, "parts": {},
        "ended_early": "no better trial among the last 20 (budget.flat)",
    }  # fmt: skip


def answered(value: float, parameters: int, stored: int, members: list[dict]) -> dict:
    """What states come to together."""
    return {
        "members": members, "valid": {"accuracy": value + 0.005}, "test": {"accuracy": value},
        "intervals": {"accuracy": [value - 0.015, value + 0.014]}, "method": "prompt",
        "trained_parameters": parameters, "stored_bytes": stored, "train_s": 29.8,
    }  # fmt: skip


def member(trial: int, share: float) -> dict:
    """One of those that answer together."""
    return {"method": "prompt", "trial": trial, "seed": 3, "share": share}


def rival(name: str, value: float, parameters: int, stored: int) -> dict:
    """One that uses no LM."""
    return answered(value, parameters, stored, []) | {
        "name": name, "settings": {}, "against": {"verdict": f"beats {name} by 0.080 (0.061 to 0.099)"},
    }  # fmt: skip


def write_courses(folder: Path, study: optuna.Study) -> None:
    """Two workers that take the trials in turn, four at once."""
    (folder / "workers").mkdir()
    for worker in (0, 1):
        at = int(BEGAN.timestamp() * 1e9)
        lines = [{"t": at, "call": "begin", "sizes": {}}]
        for trial in study.trials[worker::2]:
            begun = {"t": at, "call": "add", "number": trial.number, "params": {}, "seed": 0, "budget": BUDGET}
            took = int(2e9 * (1 + max(trial.intermediate_values, default=0) / GRACE))
            lines += [begun, {"t": at + took, "call": "remove", "number": trial.number}]
            at += int(took / 3)
        last = study.best_trials[0].number if study.best_trials else 0
        final = {"t": at, "call": "add", "number": 2_000_001 + 1000 * last, "params": {}, "seed": 9}
        lines += [final | {"budget": 2 * BUDGET}, {"t": at + int(9e9), "call": "remove", "number": final["number"]}]
        text = "".join(json.dumps(line) + "\n" for line in sorted(lines, key=lambda line: line["t"]))
        (folder / "workers" / f"{worker}.jsonl").write_text(text)


def _trial(number, draw, points, seen_at, *, is_running):
    params = {name: _drawn(distribution, draw) for name, distribution in SPACE.items()}
    verbalizer = ("linear", "likelihood", "frequency", "random", "kmeans").index(params["verbalizer"])
    level = 0.35 + 0.13 * math.log(params["prompt_length"]) - 0.06 * verbalizer + draw.gauss(0, 0.03)
    level -= 0.2 * abs(math.log(params["lr"] / 0.015))
    reports, state, reason = {}, TrialState.COMPLETE, None
    for point in points:
        value = max(0.01, min(0.99, level)) * point / (point + 900)
        reports[point] = value
        seen_at[point].append(value)
        cut = sorted(seen_at[point])[-max(1, len(seen_at[point]) // FACTOR)]
        if value < cut and point < BUDGET:
            state, reason = TrialState.PRUNED, STOPPED
            break
    if number % 17 == 16:
        state, reports = TrialState.FAIL, {}
        reason = "RuntimeError: the engine ran out of memory in a layer <12>; its traceback is in logs/trial-16.log"
    if is_running:
        state, reason, reports = TrialState.RUNNING, None, dict(list(reports.items())[:1])
    began = BEGAN + timedelta(seconds=9 * number)
    is_over, has_failed = state.is_finished(), state == TrialState.FAIL
    between = dict.fromkeys((7000, 10000, 13000), 0.9 * reports[BUDGET]) if BUDGET in reports else {}
    measured = {str(seen): {"valid_accuracy": value} for seen, value in between.items()}
    attrs = {PARAMS: {**params, "score_end": False}, MEASURED: measured} | (
        {} if has_failed else {FACTS: _facts(params)}
    )
    trial = optuna.trial.create_trial(
        state=state if has_failed else TrialState.COMPLETE,
        params=params,
        distributions=SPACE,
        intermediate_values=reports,
        value=None if has_failed else reports[max(reports)],
        user_attrs=attrs | ({REASON: reason} if reason else {}),
    )
    trial.state = state
    if state != TrialState.COMPLETE:
        trial.values = None
    trial.datetime_start = began
    trial.datetime_complete = began + timedelta(seconds=40) if is_over else None
    return trial


def _facts(params):
    parameters = 128 * params["prompt_length"] * params["depth"] * 2 + 3_000
    return {"method": "prompt", "trained_parameters": parameters, "stored_bytes": 4 * parameters}


def _drawn(distribution, draw):
    if isinstance(distribution, CategoricalDistribution):
        return draw.choice(distribution.choices)
    low, high = distribution.low, distribution.high
    value = low * (high / low) ** draw.random() if distribution.log else low + (high - low) * draw.random()
    return min(high, int(value + 0.5)) if isinstance(distribution, IntDistribution) else value
