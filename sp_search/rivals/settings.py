"""What a rival is made of: how units become n-grams, and how much its linear model is held back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sp_search.errors import ConfigError
from sp_search.prompts.limits import Limits, limits_of, refuse_outside
from sp_search.types import Params

RivalMethod = Literal["ngram", "retrieval"]
RIVALS: dict[RivalMethod, str] = {"ngram": "n-grams", "retrieval": "nearest training utterance"}
"""A linear model on the n-grams of an utterance; or the answer of the training utterance that is most like it."""


@dataclass(frozen=True, kw_only=True)
class RivalSettings:
    """What a trial of a rival may choose. Names are scikit-learn's, but for `ngrams`."""

    method: RivalMethod
    ngrams: int  # units of the longest n-gram; all shorter ones count too
    sublinear_tf: bool  # an n-gram that occurs f times counts as 1 + ln f
    min_df: int  # training utterances that must have an n-gram, else it is left out
    C: float = 1.0  # ngram: the larger, the less the linear model is regularised

    def __post_init__(self) -> None:
        refuse_outside(self, RIVAL_LIMITS)

    @classmethod
    def from_params(cls, params: Params) -> RivalSettings:
        """Settings from searched parameters.

        Raises:
            ConfigError: a name that no setting has, a value that it can't have, or a missing one.
        """
        method = params.get("method")
        wanted = [name for name in RIVAL_LIMITS if name != "C" or method == "ngram"]
        faults = [f"{name}: expected one of {sorted(wanted)}" for name in params if name not in wanted]
        faults += [f"{name}: expected a value, got none" for name in wanted if name not in params]
        faults += [
            f"{name}: {fault}"
            for name, value in params.items()
            if name in wanted and (fault := RIVAL_LIMITS[name].fault(value))
        ]
        if faults:
            raise ConfigError("trial parameters: " + "; ".join(faults))
        given: dict[str, Any] = dict(params)
        return cls(**given)

    @property
    def counted(self) -> dict[str, Any]:
        """How n-grams are counted and weighed: settings of the same may share a counted corpus."""
        return {"ngrams": self.ngrams, "sublinear_tf": self.sublinear_tf, "min_df": self.min_df}

    def params(self) -> Params:
        """The settings as searched parameters."""
        return {name: getattr(self, name) for name in RIVAL_LIMITS if name != "C" or self.method == "ngram"}


RIVAL_LIMITS = limits_of(
    RivalSettings,
    {
        "ngrams": Limits(int, low=1, high=5),
        "min_df": Limits(int, low=1),
        "C": Limits(float, low=0, above_low=True),
    },
)
"""What each setting may be."""


def is_rival(params: Params) -> bool:
    """Whether a trial of these parameters is a rival, which needs no LM."""
    return params.get("method") in RIVALS
