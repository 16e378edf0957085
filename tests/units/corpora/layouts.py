"""Miniature copies of published corpora: their folders and files, filled with synthesised audio."""

import soundfile

from tests.units.speech import hum, write_hum


def fluent_commands(folder):
    columns = ",path,speakerId,transcription,action,object,location\n"
    rows = {
        "train": [
            ("a1", '"Turn on, please"', "activate", "lights", "kitchen"),
            ("a2", "Swap", "change language", "none", "none"),
        ],
        "valid": [("b1", "Swap it", "change language", "none", "none")],
        "test": [("c1", "Light", "activate", "lights", "kitchen")],
    }
    (folder / "data").mkdir(parents=True)
    for split, lines in rows.items():
        text = columns
        for i, (name, said, *labels) in enumerate(lines):
            path = f"wavs/speakers/{name[0]}/{name}.wav"
            write_hum(folder / path)
            text += f"{i},{path},{name[0]},{said},{','.join(labels)}\n"
        (folder / "data" / f"{split}_data.csv").write_text(text)
    return folder


def librispeech(folder):
    for part, name, text in (
        ("train-clean-100", "19-198-0000", "NORTHANGER ABBEY"),
        ("train-clean-100", "19-198-0001", "THIS LITTLE WORK WASN'T"),
        ("train-other-500", "20-205-0000", "LEFT ALONE"),
        ("dev-clean", "84-121123-0000", "GO DO YOU HEAR"),
        ("test-clean", "61-70968-0000", "HE BEGAN"),
    ):
        place = folder / part / name.split("-")[0] / name.split("-")[1]
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / f"{name}.flac", hum(0.3), 16_000)
        with (place / f"{name.rpartition('-')[0]}.trans.txt").open("a") as file:
            file.write(f"{name} {text}\n")
    return folder


def speech_commands(folder):
    words, test = folder / "speech_commands_v0.01", folder / "speech_commands_test_set_v0.01"
    for word in ("yes", "go", "bed"):
        for speaker in range(12):
            for take in range(2):
                write_hum(words / word / f"{speaker:08x}_nohash_{take}.wav", seconds=0.05)
    for name, seconds in (("running_tap", 12.5), ("pink_noise", 3.0)):
        write_hum(words / "_background_noise_" / f"{name}.wav", seconds=seconds)
    for name in ("validation_list.txt", "testing_list.txt", "LICENSE"):
        (words / name).write_text("")
    for name in ("yes/0a_nohash_0", "_unknown_/bed_0b_nohash_0", "_silence_/0"):
        write_hum(test / f"{name}.wav", seconds=0.05)
    return folder


def audio_snips(folder):
    lines = {
        "train": (
            "Ivy-snips-train-0",
            "BOS PLAY the new EP , & KISS EOS\tO O O album O O artist artist PlayMusic",
        ),
        "valid": ("Amy-snips-valid-7", "BOS RATE IT EOS\tO O O RateBook"),
        "test": ("Brian-snips-test-3", "BOS NEW YORK TODAY EOS\tO city city date GetWeather"),
    }
    for split, (name, _) in lines.items():
        write_hum(folder / split / f"{name}.wav")
    write_hum(folder / "train" / "Brian-snips-train-0.wav")
    (folder / "all.iob.snips.txt").write_text("".join(f"{name} {text}\n" for name, text in lines.values()))
    (folder / "slots.txt").write_text("O\nartist\n")
    return folder
