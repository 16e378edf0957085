"""The numbers of runs under fresh seeds: workers, observers and folders know such a run by one number, as a trial.

    confirm run 2 of trial 7      1,007,002
    final training 2 of trial 7   2,007,002

A run of trial 1,000 or later, or of repeat 1,000 or later, has a number of the same form with wider fields, so that
no two runs share one: confirm run 2 of trial 1,234 is 1,001,234,000,002.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Role = Literal["confirm", "final"]
LEADING: Mapping[Role, int] = {"confirm": 1, "final": 2}
NARROW, WIDE = 1_000, 1_000_000
"""How many trials, and repeats, the fields of a number hold."""


@dataclass(frozen=True)
class RunId:
    """A run under a fresh seed."""

    role: Role
    trial: int  # whose setting it has
    repeat: int  # 1, 2, ...

    @property
    def number(self) -> int:
        """What the run is known by. Above the numbers of trials, of which a study has fewer than a million."""
        field = NARROW if max(self.trial, self.repeat) < NARROW else WIDE
        return (LEADING[self.role] * field + self.trial) * field + self.repeat


def run_of(number: int) -> RunId | None:
    """The run that has a number; None where it is a trial's."""
    field = WIDE if number >= WIDE * WIDE else NARROW
    roles: dict[int, Role] = {leading: role for role, leading in LEADING.items()}
    above, repeat = divmod(number, field)
    leading, trial = divmod(above, field)
    return RunId(roles[leading], trial, repeat) if leading in roles else None
