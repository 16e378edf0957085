"""Speaks a corpus: what is said, by whom and in what noise is drawn from a seed, so the same seed gives it again."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from sp_search.demo.espeak import Espeak
from sp_search.demo.grammar import Phrase, intents, phrases
from sp_search.demo.noise import empty_room, in_a_room
from sp_search.demo.requests import Request, requests
from sp_search.demo.voices import SENTENCE_PACE, WORD_PACE, Manner, draw_manner, variants_of
from sp_search.demo.words import Word, classes
from sp_search.units.features import Floats

SPLITS = ("train", "valid", "test", "pool")
"""`pool` has no labels, is said by the voices of train, and is what the unit LM learns from."""
CHUNK = 1000
"""Utterances a process speaks, one behind the other; part of what decides the samples (see `Espeak`)."""

Result = TypeVar("Result")
Said = Phrase | Word | Request


@dataclass(frozen=True)
class Utterance:
    """One utterance before it is spoken."""

    id: str
    said: Said
    manner: Manner
    noise_seed: tuple[int, ...]


def plan(split: str, count: int, seed: int) -> list[Utterance]:
    """Draw the commands of a split: every intent as often, within it every phrasing as likely."""
    phrasings = [[phrase for phrase in phrases() if phrase.answer == answer] for answer in intents()]
    manner = partial(draw_manner, variants_of(split, seed), SENTENCE_PACE)
    return _plan(split, phrasings, manner, count, (seed, SPLITS.index(split)))


def plan_words(split: str, count: int, seed: int) -> list[Utterance]:
    """Draw the single words of a split: every class as often, within `unknown` every word as likely."""
    manner = partial(draw_manner, variants_of(split, seed), WORD_PACE)
    return _plan(f"{split}-word", classes(), manner, count, (seed, len(SPLITS) + SPLITS.index(split)))


def plan_requests(split: str, count: int, seed: int) -> list[Utterance]:
    """Draw the requests of a split, each sentence once."""
    seeds = (seed, 2 * len(SPLITS) + SPLITS.index(split))
    rng, variants = np.random.default_rng(seeds), variants_of(split, seed)
    return [
        Utterance(f"{split}-request-{i:05d}", request, draw_manner(variants, SENTENCE_PACE, rng), (*seeds, i))
        for i, request in enumerate(requests(split, count, rng))
    ]


def _plan(
    name: str,
    ways: Sequence[Sequence[Said]],
    manner: Callable[[np.random.Generator], Manner],
    count: int,
    seed: tuple[int, int],
) -> list[Utterance]:
    """Every answer as often, in any of its ways; utterances are called by the name and their number."""
    rng = np.random.default_rng(seed)
    rounds = [rng.permutation(len(ways)) for _ in range(-(-count // len(ways)))]
    planned = []
    for i, answer in enumerate(np.concatenate(rounds)[:count]):
        said = ways[answer][rng.integers(len(ways[answer]))]
        planned.append(Utterance(f"{name}-{i:05d}", said, manner(rng), (*seed, i)))
    return planned


def speak(planned: Sequence[Utterance], use: Callable[[Floats], Result], processes: int) -> Iterator[Result]:
    """Speak utterances and pass each one's audio, (S,) at 16 kHz, to `use`; results come in order.

    Every chunk has a process of its own, because espeak-ng carries a state from one utterance to the next.
    """
    chunks = [planned[start : start + CHUNK] for start in range(0, len(planned), CHUNK)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, maxtasksperchild=1) as pool:
        for results in pool.imap(partial(_speak_chunk, use), chunks):
            yield from results


def _speak_chunk(use: Callable[[Floats], Result], planned: Sequence[Utterance]) -> list[Result]:
    espeak = Espeak()
    with threadpool_limits(1):  # the processes together fill the cores already
        return [use(_sound(utterance, espeak)) for utterance in planned]


def _sound(utterance: Utterance, espeak: Espeak) -> Floats:
    rng = np.random.default_rng(utterance.noise_seed)
    if utterance.said.text is None:
        return empty_room(rng)
    return in_a_room(espeak.say(utterance.said.text, utterance.manner), rng)
