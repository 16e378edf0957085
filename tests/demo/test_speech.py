"""What is said, by whom, and how it sounds."""

import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest

from sp_search.demo.corpus import plan, plan_words, speak
from sp_search.demo.espeak import Espeak
from sp_search.demo.grammar import Phrase, intents, phrases, spelled_out
from sp_search.demo.noise import SILENCE_S, SNR_DB, coloured_noise, empty_room, in_a_room
from sp_search.demo.voices import SENTENCE_PACE, WORD_PACE, Manner, all_variants, variants_of
from sp_search.demo.words import Word
from sp_search.errors import UserError
from sp_search.units.features import SAMPLE_RATE

MANNER = Manner("en-us+f2", 220, 50, 50)


def test_every_intent_has_six_phrasings_or_more_and_no_phrase_means_two_things():
    texts = Counter(phrase.text for phrase in phrases())
    per_intent = Counter(phrase.answer for phrase in phrases())
    assert [text for text, count in texts.items() if count > 1] == []
    assert min(per_intent.values()) >= 6
    assert (len(per_intent), len(texts)) == (30, 238)


def test_a_pattern_is_spelled_out_in_full():
    assert list(spelled_out("{a|b} c {d|e f}")) == ["a c d", "a c e f", "b c d", "b c e f"]


def test_no_two_splits_share_a_voice():
    parts = [set(variants_of(split, seed=0)) for split in ("train", "valid", "test")]
    assert set().union(*parts) == set(all_variants())
    assert sum(map(len, parts)) == len(all_variants()) == 64
    assert {u.manner.voice.split("+")[1] for u in plan("test", 300, 0)} <= parts[2]
    assert {u.manner.voice.split("+")[1] for u in plan("pool", 300, 0)} <= parts[0]


def test_voices_that_could_not_be_a_person_are_left_out():
    assert not {"robosoft", "Demonic", "whisper", "zac", "RicishayMax"} & set(all_variants())
    assert {"m1", "f1", "steph"} <= set(all_variants())


def test_every_intent_is_asked_for_as_often_as_any_other():
    asked = Counter(utterance.said.answer for utterance in plan("train", 300, 0))
    assert asked == dict.fromkeys(intents(), 10)


@pytest.mark.parametrize(
    ("answer", "slots"),
    [
        (("on", "lights", "office"), "B-lights on E-lights B-place office E-place"),
        (("up", "music", "none"), "B-music up E-music"),
    ],
)
def test_a_command_has_its_answer_in_the_form_of_every_task_that_takes_it(answer, slots):
    fields = Phrase("do it", answer).fields()
    assert fields == {"labels": answer, "text": "do it", "slots": slots, "keyword": None}


@pytest.mark.parametrize(("text", "keyword"), [("stop", "stop"), ("bed", "unknown"), (None, "silence")])
def test_a_word_on_its_own_is_of_the_keyword_task_alone(text, keyword):
    assert Word(text).fields() == {"labels": None, "text": None, "slots": None, "keyword": keyword}


def test_the_twelve_classes_are_as_many_each_and_unknown_has_twenty_words():
    asked = Counter(utterance.said for utterance in plan_words("train", 2400, 0))
    of_class = Counter(utterance.said.fields()["keyword"] for utterance in plan_words("train", 2400, 0))
    known = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go"]
    assert of_class == dict.fromkeys([*known, "unknown", "silence"], 200)
    assert {word.text for word, count in asked.items() if count == 200} == {*known, None}
    assert sum(count < 200 for count in asked.values()) == 20


def test_single_words_keep_to_the_voices_of_their_split_and_are_slower_than_commands():
    for split in ("train", "valid", "test"):
        manners = [utterance.manner for utterance in plan_words(split, 300, 0)]
        assert {manner.voice.split("+")[1] for manner in manners} <= set(variants_of(split, seed=0))
        assert all(WORD_PACE[0] <= manner.words_per_minute <= WORD_PACE[1] for manner in manners)
    assert all(SENTENCE_PACE[0] <= u.manner.words_per_minute <= SENTENCE_PACE[1] for u in plan("train", 300, 0))


def test_words_and_commands_draw_from_random_streams_of_their_own():
    assert plan_words("train", 50, 0) == plan_words("train", 50, 0)
    seeds = [{u.noise_seed for u in planned} for planned in (plan("pool", 50, 0), plan_words("train", 50, 0))]
    assert not seeds[0] & seeds[1]


def test_a_seed_fixes_what_is_said_and_by_whom_and_another_seed_changes_it():
    assert plan("train", 50, 0) == plan("train", 50, 0)
    assert plan("train", 50, 0) != plan("train", 50, 1)
    assert [u.said for u in plan("train", 50, 0)] != [u.said for u in plan("pool", 50, 0)]


SAY = """
import sys
from sp_search.demo.espeak import Espeak
from sp_search.demo.voices import Manner
speech = Espeak().say("turn on the kitchen lights", Manner("en-us+f2", 220, 50, 50))
sys.stdout.buffer.write(speech.tobytes())
"""


def test_a_sentence_becomes_sound_and_a_new_process_gives_the_same_samples():
    first = subprocess.run([sys.executable, "-c", SAY], capture_output=True, check=True)
    time.sleep(1)  # left alone, espeak-ng takes its noise from the clock's seconds
    second = subprocess.run([sys.executable, "-c", SAY], capture_output=True, check=True)
    speech = np.frombuffer(first.stdout, np.float32)
    assert first.stdout == second.stdout
    assert 0.6 < len(speech) / SAMPLE_RATE < 2.0
    assert 0.01 < np.sqrt(np.mean(speech**2)) < 0.5


@pytest.mark.slow
def test_the_same_seed_speaks_the_same_corpus():
    planned = plan("train", 6, 0) + plan_words("train", 12, 0)  # with silence among them
    first, second = (list(speak(planned, np.asarray, processes=2)) for _ in range(2))
    assert [audio.tobytes() for audio in first] == [audio.tobytes() for audio in second]
    assert len({audio.tobytes() for audio in first}) == 18


def test_an_unknown_voice_is_named():
    with pytest.raises(UserError, match=r"expected a voice such as en-us\+f2, got 'en-mars'"):
        Espeak().say("hello", Manner("en-mars", 220, 50, 50))


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_noise_of_a_colour_falls_by_its_exponent(exponent):
    noise = coloured_noise(1 << 16, exponent, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(noise)) ** 2
    hertz = np.linspace(0, SAMPLE_RATE / 2, len(power))
    low, high = (power[(hertz > f) & (hertz < 1.2 * f)].mean() for f in (500, 4000))
    assert np.log(low / high) / np.log(8) == pytest.approx(2 * exponent, abs=0.15)
    assert np.mean(noise**2) == pytest.approx(1, abs=1e-3)


def test_speech_in_a_room_is_never_clipped_and_the_noise_is_below_it():
    speech = np.sin(np.arange(SAMPLE_RATE) * 2 * np.pi * 200 / SAMPLE_RATE).astype(np.float32)
    for seed in range(20):
        sound = in_a_room(speech, np.random.default_rng(seed))
        spectrum = np.abs(np.fft.rfft(sound)) ** 2
        tone = np.abs(np.linspace(0, SAMPLE_RATE / 2, len(spectrum)) - 200) < 100
        ratio_db = 10 * np.log10(spectrum[tone].sum() / spectrum[~tone].sum())
        assert np.abs(sound).max() <= 0.9001
        assert len(speech) < len(sound) <= len(speech) + 0.16 * SAMPLE_RATE
        assert ratio_db > SNR_DB[0] - 3


def test_silence_is_noise_as_long_as_a_word():
    sounds = [empty_room(np.random.default_rng(seed)) for seed in range(20)]
    assert all(SILENCE_S[0] - 0.001 <= len(sound) / SAMPLE_RATE <= SILENCE_S[1] for sound in sounds)
    assert all(0.15 < np.abs(sound).max() <= 0.9001 for sound in sounds)
    assert len({sound.tobytes() for sound in sounds}) == 20
