"""The tasks by name: what an answer is made of, and what counts as right."""

from __future__ import annotations

from dataclasses import dataclass

from sp_search.errors import ConfigError


@dataclass(frozen=True)
class Task:
    """A task whose answers have a fixed number of labels; an answer is right when all of them are."""

    name: str
    slots: tuple[str, ...]


TASKS = {
    task.name: task
    for task in (
        Task("intent", slots=("action", "object", "location")),  # Fluent Speech Commands, method.md
    )
}


def get_task(name: str) -> Task:
    """A task by name.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in TASKS:
        raise ConfigError(f"task: expected one of {', '.join(sorted(TASKS))}, got {name!r}")
    return TASKS[name]
