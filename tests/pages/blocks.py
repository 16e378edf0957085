"""The blocks of code of a page, and the small sizes with which tests run its commands.

A page types commands for real work, of minutes to hours. A test runs the same words and appends these behind them;
where a key is there twice, the last one counts.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
README, TUTORIAL = ROOT / "README.md", ROOT / "docs/tutorial.md"
SHELL, PYTHON, OTHER = "sh", "python", ""
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SEARCH = (
    "trials=2", "schedule.budget=64", "schedule.grace=32", "schedule.batch_size=8", "schedule.valid_sample=100",
    "schedule.confirm.top=1", "schedule.confirm.seeds=1", "schedule.final.seeds=0", "cluster.workers=1",
    "cluster.slots=2",
)  # fmt: skip
OF_SEARCH = (*SEARCH, "tracking.enabled=false")
DEMO = (*SEARCH, "train_utterances=300")
"""Of a search of the demo, which MLflow is to show."""
SMALL = {
    "prepare": ("units.fit.units=20", "cluster.workers=1"),
    "pretrain": (
        "layers=2", "embed_dim=16", "ffn_embed_dim=32", "attention_heads=2", "updates=4", "warmup_updates=2",
        "max_positions=256", "batch_tokens=512", "pass_tokens=512", "engine.device=cpu",
    ),
    "search": OF_SEARCH,
    "serve": ("port=0",),
}  # fmt: skip
"""What is appended to a command, by its name."""


class Block(NamedTuple):
    """A block of code of a page."""

    language: str
    text: str


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The blocks of a page in their order; of one language, or all."""
    found = [Block(*parts) for parts in BLOCK.findall(page.read_text())]
    return [block for block in found if language is None or block.language == language]


def shell_lines(page: Path) -> list[str]:
    """The lines that a page types in a shell."""
    return [line for block in blocks(page, SHELL) for line in block.text.replace("\\\n", " ").splitlines()]
