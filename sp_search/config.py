"""Every setting of the program: its name, type, unit and legal range.

Values live in `search_spaces/` and on the command line, never here. `cli/settings/compose.py` lets Hydra put them
together and fills these records; an unknown key, a wrong type and a value out of range are errors that name it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sp_search.durations import seconds_of
from sp_search.errors import ConfigError
from sp_search.files.paths import LONGEST_NAME
from sp_search.prices import price_faults
from sp_search.units.encoder import EncoderSettings
from sp_search.units.features import FeatureSettings


@dataclass(frozen=True, kw_only=True)
class TaskSettings:
    """What an answer is, and how it is found."""

    name: str  # of the task
    title: str  # of the task in the name of a study
    field: str | None  # of a JSON line, where its answer is; null = where the task has it
    answer_format: Literal["words", "characters"]  # what the LM answers in: a symbol a word, or a symbol a character
    decoding: Literal["best", "free", "legal"]  # best of training's answers; written freely, or only along those
    max_answer: int  # symbols that free and legal write at most; 0 = as many as training's longest answer has

    def __post_init__(self) -> None:
        refuse(below_zero(self, "max_answer"))


@dataclass(frozen=True, kw_only=True)
class LMSettings:
    """The frozen unit LM."""

    name: str  # the option's name, or the folder's
    path: Path | None  # a fairseq checkpoint or its folder, or one in the transformers format; null = known by name
    unit_offset: int | None  # unit i is token i + unit_offset; of the transformers format, null = as it says
    bos: int | None  # the token in front of an utterance
    eos: int | None  # the token behind an utterance

    def __post_init__(self) -> None:
        refuse(below_zero(self, "unit_offset", "bos", "eos"))


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """The labelled corpus, in units."""

    name: str  # the option's name, or the folder's
    path: Path | None  # a folder with train, valid and test; null = built in
    train_utterances: int  # kept of the training split, always the same ones; 0 = all

    def __post_init__(self) -> None:
        refuse(below_zero(self, "train_utterances"))


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How clusters are found where no quantizer is named."""

    units: int  # clusters, 2 or more
    utterances: int  # of train, drawn, whose frames are clustered; 1 or more
    frames: int  # of all of these together, drawn; bounds the memory, `units` or more
    seed: int  # of both draws and of the clusters

    def __post_init__(self) -> None:
        faults = below_one(self, "utterances")
        if not 0 <= self.seed < 2**32:
            faults.append(f"seed: expected 0 to {2**32 - 1}, got {self.seed}")
        if self.units < 2:
            faults.append(f"units: expected 2 or more, got {self.units}")
        if self.frames < self.units:
            faults.append(f"frames: expected as many as units or more, got {self.frames}")
        refuse(faults)


@dataclass(frozen=True, kw_only=True)
class UnitSettings:
    """How audio becomes units. Frames are of the signal alone or of an encoder: just one of the two is set."""

    name: str  # the option's name, or the file's
    signal: FeatureSettings | None
    encoder: EncoderSettings | None
    checkpoint: Path | None  # the encoder's file of fairseq's, or folder of transformers; null = the published one
    quantizer: str | None  # a published one's name, our .safetensors, or a km.bin; null = fit one on train
    fit: FitSettings

    def __post_init__(self) -> None:
        if (self.signal is None) == (self.encoder is None):
            raise ConfigError("signal, encoder: expected one of the two, got both or neither")


@dataclass(frozen=True, kw_only=True)
class ConfirmSettings:
    """The best settings are trained again with new seeds, in rounds; a setting that is clearly worse leaves."""

    top: int  # how many of the best settings, 1 or more
    seeds: int  # rounds at most, 1 or more

    def __post_init__(self) -> None:
        refuse(below_one(self, "top", "seeds"))


@dataclass(frozen=True, kw_only=True)
class FinalSettings:
    """The best setting is trained again with new seeds; its learning rate falls over the longer budget."""

    seeds: int  # runs; 0 = none: the confirm runs are the end
    stretch: float  # budget of each, as a multiple of the schedule's; 1 or more

    def __post_init__(self) -> None:
        faults = below_zero(self, "seeds")
        if not 1 <= self.stretch < math.inf:
            faults.append(f"stretch: expected 1 or more, got {self.stretch}")
        refuse(faults)


@dataclass(frozen=True, kw_only=True)
class WinnerSettings:
    """What a search leaves."""

    members: int  # most prompts and other models that may answer together; 1 = a single prompt
    smallest: bool  # export the answer of the fewest bytes within one standard error of the best

    def __post_init__(self) -> None:
        refuse(below_one(self, "members"))


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """How many trials, how long, and when one may be stopped. Lengths are training utterances seen."""

    trials: int  # settings to try in total, over all starts of the study
    budget: int  # utterances of a full trial
    grace: int  # training utterances before the first rung, 1 to budget
    reduction_factor: int  # 4 = at a rung the best quarter of the trials goes on; 2 or more
    batch_size: int  # utterances in an update
    chunk_updates: int  # updates of one trial before its worker turns to the next
    valid_sample: int  # utterances of valid a trial is measured on before its full budget; 0 = all
    retries: int  # how often a trial whose own run raised is tried again before it counts as failed
    sampler: Any  # who draws settings: tpe, gp, cmaes, random or qmc; or a mapping of name and its settings
    pruner: Any  # who stops trials at rungs: asha, hyperband, median or none; or a mapping of name and its settings
    seed: int  # of the sampler, of the batches' order, and of every trial's own seed; 0 or more
    warm_start: str | None  # a study below `runs` whose best settings a new one tries before all others
    first_trials: list[dict[str, Any]]  # settings a new study tries first; what they leave out is drawn
    confirm: ConfirmSettings
    final: FinalSettings

    def __post_init__(self) -> None:
        faults = below_one(self, "trials", "budget", "grace", "batch_size", "chunk_updates")
        if self.reduction_factor < 2:
            faults.append(f"reduction_factor: expected 2 or more, got {self.reduction_factor}")
        faults += below_zero(self, "valid_sample", "retries", "seed")
        if self.grace > self.budget:
            faults.append(f"grace: expected at most the budget of {self.budget} utterances, got {self.grace}")
        refuse(faults)


@dataclass(frozen=True, kw_only=True)
class BudgetSettings:
    """Limits of a search, over all its starts. At a limit it still ends with a winner and the test."""

    wall: str | None  # time on the clock, as 2h, 90m, 1h30m or 45s; null = no limit
    device_hours: float | None  # hours of all workers together
    money: float | None  # at `rate`
    rate: Any  # price of one worker for an hour, or a mapping of node kinds to prices; null = none
    flat: int | None  # trials in a row without a better value, after which no new trial begins

    def __post_init__(self) -> None:
        faults = below_one(self, "flat") + not_positive(self, "device_hours", "money") + price_faults(self.rate)
        if self.wall is not None and not seconds_of(self.wall):
            faults.append(f"wall: expected a time as 2h, 90m, 1h30m or 45s, got {self.wall}")
        if self.money is not None and self.rate is None:
            faults.append("money: expected budget.rate, the money an hour of one worker costs, got none")
        refuse(faults)


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What trials compute on, and how exactly."""

    device: Literal["auto", "cpu", "cuda"]
    dtype: Literal["auto", "float32", "bfloat16"]  # of the frozen weights; auto = bfloat16 where the hardware has it
    threads: int | None  # CPU threads of a worker; null = its share of the cores
    tokens_per_pass: int | None  # most tokens that go through the LM at once; null = by its width, or a GPU's memory
    trunk_cache_gib: float | None  # a worker's memory for what no prompt changes; null = its share of what is free
    compile: bool  # the feed-forward part of a layer through torch.compile

    def __post_init__(self) -> None:
        faults = below_one(self, "threads", "tokens_per_pass")
        if (self.threads or 0) > 1024:
            faults.append(f"threads: expected at most 1024, got {self.threads}")
        if self.trunk_cache_gib is not None and not 0 <= self.trunk_cache_gib < math.inf:
            faults.append(f"trunk_cache_gib: expected 0 or more, got {self.trunk_cache_gib}")
        refuse(faults)


@dataclass(frozen=True, kw_only=True)
class TrackingSettings:
    """Where MLflow keeps the runs."""

    enabled: bool  # false = no MLflow; the study and its report do not need it
    uri: str | None  # a server or a database; null = mlflow.db in `runs`
    experiment: str  # MLflow's, in which the runs are listed

    def __post_init__(self) -> None:
        refuse(["uri: expected a server, a database or null, got an empty text"] if self.uri == "" else [])


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """Ray's workers, one for each device, and the trials that each of them trains at the same time."""

    address: str | None  # a running cluster that this machine is a node of, or auto; null = start Ray here
    nodes: int | None  # of that cluster, which are waited for; null = those that are there
    workers: int | None  # null = one for each GPU; without a GPU two on a machine, which share its cores
    slots: int | None  # trials that a worker trains at the same time; null = by its device
    cpus_per_worker: float | None  # above 0; null = an even share of a machine's cores
    gpus_per_worker: float | None  # 0 or more; null = 1 on cuda, else 0
    save_every: float  # seconds after which a trial is saved again in the middle of its training; above 0
    storage: str | None  # Optuna's URL of the study; null = a journal file in the study's folder

    def __post_init__(self) -> None:
        faults = below_one(self, "nodes", "workers", "slots") + not_positive(self, "cpus_per_worker")
        if (self.address or "").startswith("ray://"):
            faults.append(f"address: expected auto or HOST:PORT, for a search runs on a node, got {self.address}")
        if not self.save_every > 0:
            faults.append(f"save_every: expected seconds above 0, got {self.save_every}")
        if self.gpus_per_worker is not None and not 0 <= self.gpus_per_worker < math.inf:
            faults.append(f"gpus_per_worker: expected 0 or more, got {self.gpus_per_worker}")
        refuse(faults)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every command takes. A command with keys of its own extends this record."""

    task: TaskSettings
    lm: LMSettings
    data: DataSettings
    units: UnitSettings
    space: dict[str, Any]  # ranges by parameter, as the file has them; the search room checks them
    schedule: ScheduleSettings
    winner: WinnerSettings
    budget: BudgetSettings
    engine: EngineSettings
    tracking: TrackingSettings
    cluster: ClusterSettings
    study: str  # the study's name and its folder below `runs`
    runs: Path  # where studies go
    cache: Path  # where downloaded models and imported unit LMs are kept

    def __post_init__(self) -> None:
        if "/" in self.study or self.study.strip(". ") == "" or not self.study.isprintable():
            raise ConfigError(f"study: expected a folder's name, in one line without /, got {self.study!r}")
        if (size := len(self.study.encode(errors="replace"))) > LONGEST_NAME:
            raise ConfigError(
                f"study: expected a name of up to {LONGEST_NAME} bytes, got one of {size}; say study=NAME"
            )


def below_one(record: Any, *names: str) -> list[str]:
    """A fault for each named number that is neither null nor 1 or more."""
    values = ((name, getattr(record, name)) for name in names)
    return [f"{name}: expected 1 or more, got {value}" for name, value in values if value is not None and value < 1]


def below_zero(record: Any, *names: str) -> list[str]:
    """A fault for each named number that is neither null nor 0 or more."""
    values = ((name, getattr(record, name)) for name in names)
    return [f"{name}: expected 0 or more, got {value}" for name, value in values if value is not None and value < 0]


def not_positive(record: Any, *names: str) -> list[str]:
    """A fault for each named number that is neither null nor above 0 and finite."""
    values = ((name, getattr(record, name)) for name in names)
    wrong = ((name, value) for name, value in values if value is not None and not 0 < value < math.inf)
    return [f"{name}: expected above 0, got {value}" for name, value in wrong]


def not_counts(name: str, words: str) -> list[str]:
    """A fault for each word of a setting that is no number from 1 on."""
    wrong = (word for word in words.split() if not word.isdecimal() or int(word) < 1)
    return [f"{name}: expected numbers from 1, got {word!r}" for word in wrong]


def refuse(faults: list[str]) -> None:
    """Raise a ConfigError that lists the faults, if there are any."""
    if faults:
        raise ConfigError("; ".join(faults))
