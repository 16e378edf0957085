"""The shape of a unit LM and how it is trained, as one record."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sp_search.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What decides the weights, beside the units. Numbers are 1 or more where nothing else is said."""

    layers: int
    embed_dim: int  # 4 or more, even, a multiple of attention_heads
    ffn_embed_dim: int
    attention_heads: int
    max_positions: int  # longest sequence, in units, `</s>` included; 2 or more
    dropout: float  # 0 <= dropout < 1
    lr: float  # above 0, at its highest: behind the warm-up, from where it falls by the inverse square root
    warmup_updates: int
    updates: int  # in total, over all starts
    batch_tokens: int  # units an update, over all devices
    pass_tokens: int  # of these in one forward pass of a device; max_positions or more
    valid_every: int  # updates between two measurements on valid, each of which saves
    seed: int  # 0 or more

    def __post_init__(self) -> None:
        least = {"embed_dim": 4, "max_positions": 2, "seed": 0}
        numbers = [(field.name, getattr(self, field.name)) for field in fields(self)]
        faults = [
            f"{name}: expected {least.get(name, 1)} or more, got {value}"
            for name, value in numbers
            if type(value) is int and value < least.get(name, 1)
        ]
        if self.seed >= 2**32:
            faults.append(f"seed: expected up to {2**32 - 1}, got {self.seed}")
        if not 0 <= self.dropout < 1:
            faults.append(f"dropout: expected 0 or more and below 1, got {self.dropout}")
        if not 0 < self.lr < float("inf"):
            faults.append(f"lr: expected above 0, got {self.lr}")
        if self.embed_dim % 2 or self.embed_dim % max(1, self.attention_heads):
            heads = f"{self.attention_heads} attention_heads"
            faults.append(f"embed_dim: expected an even multiple of {heads}, got {self.embed_dim}")
        if self.pass_tokens < self.max_positions:
            faults.append(
                f"pass_tokens: expected max_positions of {self.max_positions} or more, got {self.pass_tokens}"
            )
        if faults:
            raise ConfigError("; ".join(faults))

    def passes(self, devices: int) -> int:
        """Forward passes that each device makes for one update."""
        return max(1, round(self.batch_tokens / (self.pass_tokens * devices)))
