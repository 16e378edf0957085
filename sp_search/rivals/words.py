"""What answers together, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

KINDS = {
    "prompt": ("prompt", "prompts"),
    "finetune": ("fine-tuned LM", "fine-tuned LMs"),
    "probe": ("linear probe", "linear probes"),
    "ngram": ("n-gram model", "n-gram models"),
    "retrieval": ("nearest training utterance", "nearest training utterances"),
}
"""What one member of a method is called, and several."""


def together(methods: Sequence[str]) -> str:
    """The methods of an answer's members in words, as `3 prompts, 1 probe and 1 n-gram model`."""
    *others, last = [f"{count} {KINDS[method][count > 1]}" for method, count in Counter(methods).items()]
    return f"{', '.join(others)} and {last}" if others else last
