"""fairseq's dictionary: which unit has which id in the unit LM.

Four specials come first (`<s>` 0, `<pad>` 1, `</s>` 2, `<unk>` 3), then the symbols of `dict.txt` in file order. The
file decides: HuBERT-100's is numeric, CPC's is sorted by frequency (method.md, "Data flow").
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sp_search.errors import CheckpointError, DataError
from sp_search.files.paths import check_file
from sp_search.files.text import text_lines
from sp_search.files.write import write_text
from sp_search.types import SPECIALS
from sp_search.units.lines import bad_lines

SPECIAL_SYMBOLS = ("<s>", "<pad>", "</s>", "<unk>")
NUMBER = re.compile(r"0|[1-9][0-9]{0,8}")
"""How a unit is written that is a cluster's number."""
FILLER = "madeupword"
"""fairseq pads a dictionary to a multiple of 8 with symbols of this name; no speech holds them."""


class Dictionary:
    """Units by symbol and by id."""

    def __init__(self, symbols: Sequence[str]) -> None:
        """From the symbols behind the four specials, in id order."""
        self.symbols = tuple(symbols)
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols, SPECIALS)}

    @classmethod
    def load(cls, path: Path) -> Dictionary:
        """Read a `dict.txt`: one `symbol count` a line.

        Raises:
            DataError: the file is absent or empty, or lines are malformed or repeat a symbol; ten are named.
        """
        check_file(path, "a fairseq dictionary (dict.txt)")
        symbols: dict[str, None] = {}
        faults = []
        for number, line in enumerate(text_lines(path), 1):
            symbol, _, count = line.removesuffix(" #fairseq:overwrite").rpartition(" ")
            if not line.strip():
                continue
            if not symbol or not count.isdecimal():
                faults.append(f"line {number}: expected `symbol count`, got {line!r:.80}")
            elif symbol in symbols or symbol in SPECIAL_SYMBOLS:
                faults.append(f"line {number}: expected a new symbol, got {symbol!r:.80} again")
            else:
                symbols[symbol] = None
        if faults:
            raise bad_lines(str(path), faults, len(faults))
        if not symbols:
            raise DataError(f"{path}: expected at least one unit, got an empty file")
        return cls(tuple(symbols))

    def save(self, path: Path) -> None:
        """Write a `dict.txt` that `load` reads; every count is 1."""
        write_text(path, "".join(f"{symbol} 1\n" for symbol in self.symbols))

    def __len__(self) -> int:
        """How many ids there are, specials included."""
        return SPECIALS + len(self.symbols)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the symbols in order, hex."""
        return hashlib.sha256("\n".join(self.symbols).encode()).hexdigest()

    @cached_property
    def unit_ids(self) -> tuple[int, ...]:
        """Ids of real units: no specials, no filler."""
        return tuple(i for i, symbol in enumerate(self.symbols, SPECIALS) if not symbol.startswith(FILLER))

    @cached_property
    def largest_number(self) -> int | None:
        """The largest of the units, where all of them are numbers; else None."""
        units = [self.symbol(i) for i in self.unit_ids]
        return max(map(int, units)) if units and all(map(NUMBER.fullmatch, units)) else None

    @cached_property
    def described(self) -> str:
        """Its units in a few words: `100 units, 0 to 99`."""
        units = [self.symbol(i) for i in self.unit_ids]
        if self.largest_number is not None and len(units) == self.largest_number + 1:
            return f"{len(units)} units, 0 to {self.largest_number}"
        return f"{len(units)} units, such as {', '.join(map(repr, units[:3]))}"

    def find(self, symbol: str) -> int | None:
        """The id of a unit, None where the dictionary lacks it."""
        return self._ids.get(symbol)

    def symbol(self, index: int) -> str:
        """The symbol of an id behind the specials."""
        return self.symbols[index - SPECIALS]

    def encode(self, words: Iterable[str]) -> npt.NDArray[np.int32]:
        """Ids of units; KeyError for one that is not there. Callers that read files name the place."""
        return np.fromiter((self._ids[word] for word in words), dtype=np.int32)

    def check_rows(self, rows: int, place: str) -> None:
        """Whether an embedding of so many rows is this dictionary's, padded by fairseq to a multiple of 8 or not.

        Raises:
            CheckpointError: it is not.
        """
        padded = -(-len(self) // 8) * 8
        if rows not in (len(self), padded):
            raise CheckpointError(
                f"{place}: expected an embedding of {len(self)} rows (4 specials and {len(self.symbols)} units of "
                f"its dictionary, or padded to {padded}), got {rows}; is dict.txt that of another LM?"
            )
