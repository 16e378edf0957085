"""Which token of an LM in the `transformers` format is which unit.

Such an LM numbers its tokens as it likes. The engine counts in dictionary ids: fairseq's four specials, then the
units. What maps one to the other is read from the folder, or given in the settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sp_search.errors import CheckpointError
from sp_search.lm.config_json import ModelConfig
from sp_search.types import EOS, PAD, SEPARATOR, UNK
from sp_search.units.dictionary import FILLER, Dictionary
from sp_search.units.transformers_folder import read_json

TOKENISER, DICTIONARY = "tokeniser_config.json", "dict.txt"
KEYS = "lm.unit_offset, lm.bos and lm.eos"


@dataclass(frozen=True, kw_only=True)
class GivenTokens:
    """What the settings say of an LM's tokens; None where the folder is to say it."""

    unit_offset: int | None = None  # unit i is token i + unit_offset; 0 or more
    bos: int | None = None  # the token in front of an utterance
    eos: int | None = None  # the token behind one

    @property
    def described(self) -> str:
        """What is given, for messages: `lm.bos=1 lm.eos=1`."""
        return " ".join(f"lm.{name}={value}" for name, value in asdict(self).items() if value is not None)


def agreed_tokens(given: GivenTokens, recorded: Mapping[Path, GivenTokens]) -> GivenTokens:
    """What is said of an LM's tokens by the settings and by exported prompts together, where both agree.

    Args:
        given: by the settings.
        recorded: by each prompt's folder, that its search was given.

    Raises:
        CheckpointError: two differ.
    """
    agreed = {name: (value, "the settings") for name, value in asdict(given).items() if value is not None}
    for folder, tokens in recorded.items():
        for name, value in asdict(tokens).items():
            known, who = agreed.setdefault(name, (value, str(folder))) if value is not None else (None, "")
            if known != value:
                raise CheckpointError(
                    f"{folder}: expected lm.{name}={value}, which it was trained with, got {known} from {who}; "
                    f"take it out, or take the prompt that belongs to it"
                )
    return GivenTokens(**{name: value for name, (value, _) in agreed.items()})


@dataclass(frozen=True)
class UnitTokens:
    """An LM's vocabulary in dictionary ids."""

    dictionary: Dictionary
    tokens: tuple[int | None, ...]  # of each dictionary id; None where the LM has none
    start: int  # dictionary id of the token in front of an utterance

    @property
    def absent(self) -> tuple[int, ...]:
        """The special ids that have no token."""
        return tuple(index for index, token in enumerate(self.tokens) if token is None)


def unit_tokens(folder: Path, config: ModelConfig, given: GivenTokens) -> UnitTokens:
    """Find out which token is which unit.

    The units' offset is the one given, or else that of `tokeniser_config.json` (SlamKit: behind its special tokens),
    or `offset` in the config (TWIST); where all are absent, a `dict.txt` numbers tokens as fairseq does.

    Raises:
        CheckpointError: it can't be known, or what is known contradicts the vocabulary.
        DataError: the `dict.txt` is bad.
    """
    vocabulary = config.number("vocab_size")
    tokeniser = read_json(folder / TOKENISER) if (folder / TOKENISER).is_file() else {}
    offset = given.unit_offset
    specials = [tokeniser.get("bos_eos_token_id"), tokeniser.get("pad_token_id")]
    if offset is None and all(type(token) is int for token in specials):
        offset = max(int(token) for token in specials if token is not None) + 1
    if offset is None:
        offset = config.given.get("offset")
    in_config = [_first_known(config[name]) for name in ("pad_token_id", "bos_token_id", "eos_token_id")]
    if offset is None and config.prefix and None not in in_config:
        offset = max(token for token in in_config if token is not None) + 1  # SlamKit's rule
    if offset is None and (folder / DICTIONARY).is_file():
        return _as_fairseq(folder, vocabulary, config["bos_token_id"])
    if offset is None:
        raise CheckpointError(
            f"{folder}: expected to learn which of {vocabulary:,} tokens are units, found no {TOKENISER}, no offset "
            f"in config.json and no {DICTIONARY}; give {KEYS} if the LM has units among its tokens"
        )
    of_tokeniser = tokeniser.get("bos_eos_token_id")
    bos = _first_known(given.bos, of_tokeniser, config["bos_token_id"])
    eos = _first_known(given.eos, of_tokeniser, config["eos_token_id"])
    if bos is None or eos is None:
        raise CheckpointError(
            f"{folder}: expected the tokens in front of and behind an utterance, found bos {bos} and eos {eos}; "
            f"give {KEYS}"
        )
    pad = _first_known(tokeniser.get("pad_token_id"), config["pad_token_id"])
    return _numbered(folder, vocabulary, offset, bos, eos, pad, tokeniser.get("num_units"))


def _first_known(*found: Any) -> int | None:
    """The first that is a token; a list of one, as configs may have, is as good."""
    for token in found:
        if isinstance(token, list) and len(token) == 1:
            token = token[0]
        if type(token) is int and token >= 0:
            return token
    return None


def _numbered(
    folder: Path, vocabulary: int, offset: int, bos: int, eos: int, pad: int | None, units: Any
) -> UnitTokens:
    """Units in successive tokens from an offset on; every other token keeps an id behind them, as a filler."""
    specials = {"bos": bos, "eos": eos} | (
        {} if pad is None or pad in (bos, eos) or pad >= vocabulary else {"pad": pad}
    )
    faults = [f"{name} {token}" for name, token in specials.items() if token >= vocabulary]
    if type(offset) is not int or not 0 <= offset < vocabulary or faults:
        raise CheckpointError(
            f"{folder}: expected units and specials among {vocabulary:,} tokens, got "
            f"{', '.join([f'an offset of {offset}', *faults])}; give {KEYS}"
        )
    end = min([vocabulary, *(token for token in specials.values() if token >= offset)])
    count = end - offset if units is None else units
    if type(count) is not int or count < 1 or offset + count > end:
        named = ", ".join(f"{name} {token}" for name, token in specials.items())
        raise CheckpointError(
            f"{folder}: expected {units if units is not None else 'units'} in tokens from offset {offset} on, got "
            f"{end - offset} before the next special token or the end of {vocabulary:,} tokens ({named}); give {KEYS}"
        )
    known = [specials.get("pad"), eos]
    rest = [token for token in range(vocabulary) if token not in known and not offset <= token < offset + count]
    tokens: dict[int, int | None] = {SEPARATOR: None, PAD: specials.get("pad"), EOS: eos, UNK: None}
    by_id = (*(tokens[index] for index in sorted(tokens)), *range(offset, offset + count), *rest)
    symbols = [*map(str, range(count)), *(f"{FILLER}{number:04d}" for number in range(len(rest)))]
    return UnitTokens(Dictionary(symbols), by_id, by_id.index(bos))


def _as_fairseq(folder: Path, vocabulary: int, bos: Any) -> UnitTokens:
    """Tokens numbered as a fairseq dictionary numbers its symbols."""
    dictionary = Dictionary.load(folder / DICTIONARY)
    dictionary.check_rows(vocabulary, str(folder))
    start = bos if type(bos) is int and 0 <= bos < vocabulary else EOS
    return UnitTokens(dictionary, tuple(range(vocabulary)), start)
