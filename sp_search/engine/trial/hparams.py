"""All that one trial may choose, from its flat searched parameters to checked records."""

from __future__ import annotations

import typing
from dataclasses import dataclass, fields
from typing import Any, Literal

from sp_search.errors import ConfigError
from sp_search.prompts.settings import PromptSettings
from sp_search.types import Params, ParamValue

Method = Literal["prompt", "finetune", "probe"]
METHODS: tuple[Method, ...] = ("prompt", "finetune", "probe")
"""A prompt for the frozen LM, every weight of the LM itself, or a linear classifier on the frozen LM's states."""

OF_PROBE = ("probe_layer", "pooling")
OF_ALL = ("method", "lr", "schedule", "warmup", "max_source_units")


@dataclass(frozen=True, kw_only=True)
class TrialHParams:
    """What a trial learns: a prompt, the whole LM or a probe; its verbalizer and recipe. Names are the space's."""

    method: Method = "prompt"
    prompt: PromptSettings | None  # None where no prompt is learnt
    lr: float  # above 0
    verbalizer: str = "frequency"  # one of sp_search.tasks.verbalizers
    verbalizer_seed: int = 0  # draws of random and kmeans
    verbalizer_base: str = "identity"  # linear: the one-to-one verbalizer that feeds answers back and starts the head
    head_init: Literal["identity", "uniform"] = "identity"  # linear: how its head starts
    verbalizer_dropout: float = 0.1  # linear: on what the head puts out, 0 <= p < 1
    schedule: Literal["constant", "warmup_decay"] = "constant"  # linear warm-up, then linear decay to 0
    warmup: float = 0.02  # warmup_decay: share of the full budget, 0 <= warmup < 1
    score_separator: bool = True  # whether predicting `<s>` counts in the loss, as in the papers' code
    score_end: bool = True  # whether predicting `</s>` counts, as in the papers; else answers have one length
    loss_scale: Literal["scored", "tokens"] = "scored"  # the gradient's divisor; the papers count source units too
    max_source_units: int = 0  # longest source kept, from its start; 0 keeps all
    probe_layer: int = 1  # probe: the layer whose states it reads, 1 to L
    pooling: Literal["mean", "last"] = "mean"  # probe: of the states of all units, or that of the last

    def __post_init__(self) -> None:
        checks = {
            "lr": (self.lr > 0, "above 0"),
            "verbalizer_dropout": (0 <= self.verbalizer_dropout < 1, "0 <= dropout < 1"),
            "warmup": (0 <= self.warmup < 1, "0 <= warmup < 1"),
            "max_source_units": (self.max_source_units >= 0, "0 or more"),
            "schedule": (self.schedule in ("constant", "warmup_decay"), "constant or warmup_decay"),
            "head_init": (self.head_init in ("identity", "uniform"), "identity or uniform"),
            "loss_scale": (self.loss_scale in ("scored", "tokens"), "scored or tokens"),
            "probe_layer": (self.probe_layer >= 1, "1 or more"),
            "pooling": (self.pooling in ("mean", "last"), "mean or last"),
        }
        faults = [
            f"{name}: expected {want}, got {getattr(self, name)}" for name, (ok, want) in checks.items() if not ok
        ]
        if faults:
            raise ConfigError("; ".join(faults))

    @classmethod
    def from_params(cls, params: Params) -> TrialHParams:
        """Settings from searched parameters.

        Raises:
            ConfigError: a name that no setting has or that is another method's, a value of another type or out of its
                range, a missing one.
        """
        known = parameter_types()
        method = str(params.get("method", "prompt"))
        if method not in METHODS:
            raise ConfigError(f"method: expected {', '.join(METHODS)}, got {method!r}")
        of_prompt = {f.name for f in fields(PromptSettings)}
        faults = [f"{name}: expected one of {sorted(known)}" for name in params if name not in known]
        faults += [
            f"{name}: expected {known[name].__name__}, got {value!r}"
            for name, value in params.items()
            if name in known and not _fits(value, known[name])
        ]
        faults += [
            f"{name}: expected none with method={method}, got {params[name]!r}"
            for name in params
            if name in known and not _is_of(method, name, of_prompt)
        ]
        needed = ("prompt_length", "depth", "lr") if method == "prompt" else ("lr",)
        faults += [f"{name}: expected a value, got none" for name in needed if name not in params]
        if faults:
            raise ConfigError("trial parameters: " + "; ".join(faults))
        prompt: dict[str, Any] = {name: value for name, value in params.items() if name in of_prompt}
        recipe: dict[str, Any] = {name: value for name, value in params.items() if name not in of_prompt}
        return cls(prompt=PromptSettings(**prompt) if method == "prompt" else None, **recipe)


def parameter_types() -> dict[str, type]:
    """Every parameter that a search space may name, with its type."""
    types: dict[str, type] = {}
    for record in (PromptSettings, TrialHParams):
        hints = typing.get_type_hints(record)
        for f in fields(record):
            if f.name != "prompt":
                types[f.name] = str if typing.get_origin(hints[f.name]) is Literal else hints[f.name]
    return types


def _is_of(method: str, name: str, of_prompt: set[str]) -> bool:
    """Whether a parameter says anything to a method."""
    if method == "probe":
        return name in (*OF_PROBE, *OF_ALL)
    return name not in OF_PROBE and (method == "prompt" or name not in of_prompt)


def _fits(value: ParamValue, wanted: type) -> bool:
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is wanted
