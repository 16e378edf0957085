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
from sp_search.demo.noise import in_a_room
from sp_search.demo.voices import Manner, draw_manner, variants_of
from sp_search.units.features import Floats

SPLITS = ("train", "valid", "test", "pool")
"""`pool` has no labels, is said by the voices of train, and is what the unit LM learns from."""
CHUNK = 1000
"""Utterances a process speaks, one behind the other; part of what decides the samples (see `Espeak`)."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Utterance:
    """One utterance before it is spoken."""

    id: str
    phrase: Phrase
    manner: Manner
    noise_seed: tuple[int, ...]


def plan(split: str, count: int, seed: int) -> list[Utterance]:
    """Draw the utterances of a split: every intent as often, within it every phrasing as likely."""
    number = SPLITS.index(split)
    rng = np.random.default_rng((seed, number))
    variants = variants_of("train" if split == "pool" else split, seed)
    answers = intents()
    phrasings = {answer: [phrase for phrase in phrases() if phrase.answer == answer] for answer in answers}
    rounds = [rng.permutation(len(answers)) for _ in range(-(-count // len(answers)))]
    planned = []
    for i, number_of_answer in enumerate(np.concatenate(rounds)[:count]):
        of_intent = phrasings[answers[number_of_answer]]
        phrase = of_intent[rng.integers(len(of_intent))]
        planned.append(Utterance(f"{split}-{i:05d}", phrase, draw_manner(variants, rng), (seed, number, i)))
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
    results = []
    with threadpool_limits(1):  # the processes together fill the cores already
        for utterance in planned:
            speech = espeak.say(utterance.phrase.text, utterance.manner)
            results.append(use(in_a_room(speech, np.random.default_rng(utterance.noise_seed))))
    return results
