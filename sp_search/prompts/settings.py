"""What a trial learns, and how it starts: the settings of its prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sp_search.errors import ConfigError
from sp_search.prompts.limits import Limits, limits_of, refuse_outside

MOST_POSITIONS = 1024
"""Of a prompt: five times the longest that was ever published. Every row of the source attends to all of them."""


@dataclass(frozen=True, kw_only=True)
class PromptSettings:
    """The trainable part of a trial; all other weights stay frozen.

    With depth 0 the prompt is an input prompt; otherwise every one of `depth` layers, counted from `side`, has a
    key prompt and a value prompt, and a layer without them sees no prompt. An input prompt beside a prefix in every
    layer could reach nothing: it is stored, as the papers do, and named inert.
    """

    prompt_length: int  # positions, 1 to 1,024
    depth: int  # how many layers have a deep prompt; 0 = an input prompt
    side: Literal["top", "bottom"] = "top"  # whether these are the top or the bottom layers
    position: Literal["prefix", "infix", "both"] = "prefix"  # before the source, right before `<s>`; both: depth 0
    init: Literal["normal", "embedding"] = "normal"  # N(0, scale^2), or scaled rows of the LM's embedding
    init_scale: float = 1.0  # scale of the initial values, above 0
    dropout: float = 0.1  # on prompt vectors while training, 0 <= dropout < 1
    averaging: bool = (
        False  # answer with a mean over the latest updates, not the last one: `engine.trial.weight_average`
    )

    def __post_init__(self) -> None:
        refuse_outside(self, PROMPT_LIMITS)
        if self.position == "both" and self.depth:
            raise ConfigError(
                f"position: expected prefix or infix with a deep prompt of depth {self.depth}, got both"
            )

    @property
    def positions(self) -> int:
        """Positions of a sequence that it takes on an LM that counts them."""
        return self.prompt_length * (2 if self.position == "both" else 1)

    @property
    def is_deep_infix(self) -> bool:
        """Whether its deep prompt stands right before `<s>`."""
        return self.position == "infix" and self.depth > 0

    def deep_layers(self, layers: int) -> range:
        """The layers that carry a deep prompt in an LM of so many layers.

        Raises:
            ConfigError: the depth is greater than the LM has layers.
        """
        if self.depth > layers:
            raise ConfigError(f"depth: expected at most the LM's {layers} layers, got {self.depth}")
        return range(layers - self.depth, layers) if self.side == "top" else range(self.depth)


PROMPT_LIMITS = limits_of(
    PromptSettings,
    {
        "prompt_length": Limits(int, low=1, high=MOST_POSITIONS),
        "depth": Limits(int, low=0),
        "init_scale": Limits(float, low=0, above_low=True),
        "dropout": Limits(float, low=0, high=1, below_high=True),
    },
)
"""What each setting may be, on any LM."""
