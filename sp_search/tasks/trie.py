"""The legal answers as a trie: which symbol may follow a beginning, and where an answer may end."""

from __future__ import annotations

from collections.abc import Iterable


class AnswerTrie:
    """Beginnings of answers as nodes, the empty one being node 0. Memory grows with the symbols, not their square."""

    def __init__(self, answers: Iterable[tuple[int, ...]]) -> None:
        """Hold these answers, as label symbols."""
        self._next: list[dict[int, int]] = [{}]
        self._ends: set[int] = set()
        for answer in answers:
            node = 0
            for symbol in answer:
                if symbol not in self._next[node]:
                    self._next[node][symbol] = len(self._next)
                    self._next.append({})
                node = self._next[node][symbol]
            self._ends.add(node)

    def follow(self, node: int, symbol: int) -> int:
        """The node behind a symbol that may follow.

        Raises:
            KeyError: it may not.
        """
        return self._next[node][symbol]

    def symbols(self, node: int) -> Iterable[int]:
        """What may follow."""
        return self._next[node].keys()

    def may_end(self, node: int) -> bool:
        """Whether an answer ends here."""
        return node in self._ends
