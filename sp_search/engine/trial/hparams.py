"""The hyperparameters of a trial: from flat searched parameters to checked records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sp_search.errors import ConfigError
from sp_search.prompts.limits import Limits, limits_of, refuse_outside
from sp_search.prompts.settings import PROMPT_LIMITS, PromptSettings
from sp_search.rivals.settings import RIVAL_LIMITS, RIVALS
from sp_search.tasks.verbalizers import KINDS, ONE_TO_ONE
from sp_search.types import Params

Method = Literal["prompt", "finetune", "probe"]
METHODS: tuple[Method, ...] = ("prompt", "finetune", "probe")
"""A prompt for the frozen LM, every weight of the LM itself, or a linear classifier on the frozen LM's states."""

OF_PROBE = ("probe_layer", "pooling")
OF_ALL = ("method", "lr", "schedule", "warmup", "max_source_units")


@dataclass(frozen=True, kw_only=True)
class TrialHParams:
    """What a trial learns (a prompt, the LM or a probe), its verbalizer and recipe, with the names of the space."""

    method: Method = "prompt"
    prompt: PromptSettings | None  # None if no prompt is learnt
    lr: float  # learning rate, above 0
    verbalizer: str = "frequency"  # which unit stands for which label; docs/concepts.md explains the kinds
    verbalizer_seed: int = 0  # of the random draws of random and kmeans
    verbalizer_base: str = "identity"  # linear: says which unit the LM reads for a label, and how the layer starts
    head_init: Literal["identity", "uniform"] = "identity"  # linear: how its head starts
    verbalizer_dropout: float = 0.1  # linear: dropout on the output of the layer, 0 <= p < 1
    schedule: Literal["constant", "warmup_decay"] = "constant"  # of the rate: warm-up, then decay to 0, both linear
    warmup: float = 0.02  # warmup_decay: share of the full budget, 0 <= warmup < 1
    score_separator: bool = True  # whether predicting `<s>` counts in the loss, as in the papers' code
    score_end: bool = True  # whether predicting `</s>` counts, as in the papers; else answers have one length
    loss_scale: Literal["scored", "tokens"] = "scored"  # the gradient's divisor; the papers count source units too
    label_smoothing: float = 0.0  # share of the target that all columns get alike, 0 <= s < 1 (Szegedy et al., 2016)
    max_source_units: int = 0  # units of an utterance that are kept, from its start; 0 keeps all
    probe_layer: int = 1  # probe: the layer whose states it reads, 1 to L
    pooling: Literal["mean", "last"] = "mean"  # probe: of the states of all units, or that of the last

    def __post_init__(self) -> None:
        refuse_outside(self, TRIAL_LIMITS)

    @classmethod
    def from_params(cls, params: Params) -> TrialHParams:
        """Make the settings from searched parameters.

        Raises:
            ConfigError: a name is unknown or belongs to another method, a value is missing, of a wrong type or out of
                its range.
        """
        known = {**PROMPT_LIMITS, **TRIAL_LIMITS}
        method = str(params.get("method", "prompt"))
        if method not in METHODS:
            raise ConfigError(f"method: expected {', '.join(METHODS)}, got {method!r}")
        faults = [f"{name}: expected one of {sorted(known)}" for name in params if name not in known]
        faults += [
            f"{name}: {fault}"
            for name, value in params.items()
            if name in known and (fault := known[name].fault(value))
        ]
        faults += [
            f"{name}: expected none with method={method}, got {params[name]!r}"
            for name in params
            if name in known and not _is_of(method, name)
        ]
        needed = ("prompt_length", "depth", "lr") if method == "prompt" else ("lr",)
        faults += [f"{name}: expected a value, got none" for name in needed if name not in params]
        if faults:
            raise ConfigError("trial parameters: " + "; ".join(faults))
        prompt: dict[str, Any] = {name: value for name, value in params.items() if name in PROMPT_LIMITS}
        recipe: dict[str, Any] = {name: value for name, value in params.items() if name not in PROMPT_LIMITS}
        return cls(prompt=PromptSettings(**prompt) if method == "prompt" else None, **recipe)


TRIAL_LIMITS = limits_of(
    TrialHParams,
    {
        "lr": Limits(float, low=0, above_low=True),
        "verbalizer": Limits(str, KINDS),
        "verbalizer_seed": Limits(int, low=0),
        "verbalizer_base": Limits(str, ONE_TO_ONE),
        "verbalizer_dropout": Limits(float, low=0, high=1, below_high=True),
        "label_smoothing": Limits(float, low=0, high=1, below_high=True),
        "warmup": Limits(float, low=0, high=1, below_high=True),
        "max_source_units": Limits(int, low=0),
        "probe_layer": Limits(int, low=1),
    },
    leave_out=("prompt",),
)
"""The legal values of all settings but the prompt's, on any LM."""


def parameter_limits(layers: int) -> dict[str, Limits]:
    """Every parameter that a search space may name, and what it may be on an LM of so many layers."""
    limits = {**PROMPT_LIMITS, **RIVAL_LIMITS, **TRIAL_LIMITS, "method": Limits(str, (*METHODS, *RIVALS))}
    ends = {
        "depth": layers,
        "probe_layer": layers,
    }
    return limits | {name: limits[name].at_most(end) for name, end in ends.items()}


def _is_of(method: str, name: str) -> bool:
    """Whether a method has this parameter."""
    if method == "probe":
        return name in (*OF_PROBE, *OF_ALL)
    return name not in OF_PROBE and (method == "prompt" or name not in PROMPT_LIMITS)
