"""What a search looks like on a real terminal, of 80 by 24 and of 160 by 48: tmux draws it, and its text is read."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

TMUX = shutil.which("tmux")
ROOT = Path(__file__).parents[3]
SHOTS = ROOT / "build" / "shots"
SIZES = [(80, 24), (160, 48)]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(TMUX is None, reason="needs tmux: apt-get install tmux"),
]


def captured(phase: str, width: int, height: int, wanted: str) -> list[str]:
    """The lines of a terminal of that size where a phase is played, once a text stands in it and no more is drawn."""
    server = f"sp-search-test-{phase}-{width}"
    command = f"{sys.executable} -m tests.search.ui.played {phase}; sleep 60"
    tmux = [TMUX, "-L", server, "-f", "/dev/null"]
    size = ["-x", str(width), "-y", str(height)]
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}  # tmux has a size
    subprocess.run([*tmux, "new-session", "-d", *size, command], check=True, cwd=ROOT, env=env)
    try:
        before = ""
        for _ in range(200):
            shown = subprocess.run([*tmux, "capture-pane", "-p"], check=True, capture_output=True, text=True).stdout
            if wanted in shown and shown == before:
                break
            before = shown
            time.sleep(0.3)
        SHOTS.mkdir(parents=True, exist_ok=True)
        (SHOTS / f"search-{phase}-{width}x{height}.txt").write_text(shown)
        assert wanted in shown, shown
        return [line.rstrip() for line in shown.splitlines()]
    finally:
        subprocess.run([*tmux, "kill-server"], check=True)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_running_search_fits_the_screen_with_all_that_matters(width, height):
    lines = captured("running", width, height, "0.6900")
    text = "\n".join(lines)
    assert "intent-demo: searching" in text
    assert "8 of 24 trials ended: 2 complete, 6 pruned, 0 failed" in text
    assert "left (" in text
    assert "best 0.8400 (0.818 to 0.860), trial 11 at 16,000 utterances" in text
    heads = [line.split() for line in lines if "curve" in line]
    assert heads == [["running", "utterances", "valid", "curve", "setting"], ["best", *heads[0][1:]]]
    places = [number for number, line in enumerate(lines) if "curve" in line]
    assert [line.split()[0] for line in lines[places[1] + 1 :] if line] == ["11", "8", "13"]
    running = [line.split()[0] for line in lines[places[0] + 1 : places[1]] if line]
    assert running == ["8", "9", "10", "11", "12", "13"]
    assert ("verbalizer linear, lr 0.012" in text) == (width > 80), "what does not fit is cut off"
    assert "▃▆▇██" in text, "rungs, and what was measured between the last two"


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_confirm_runs_are_on_the_screen(width, height):
    lines = captured("confirming", width, height, "confirm 3")
    assert any("intent-demo: confirming" in line for line in lines)
    assert [line.split()[:3] for line in lines if line.startswith("5 confirm")][:3] == [
        ["5", "confirm", str(repeat)] for repeat in (1, 2, 3)
    ]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_an_interrupted_search_leaves_one_line(width, height):
    lines = captured("interrupted", width, height, "interrupted; ")
    about = lines.index("sp-search: interrupted; the same command goes on from here")
    assert not any("curve" in line or "%" in line for line in lines), "the screen is gone"
    assert not any(lines[about + 1 :])


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_search_that_goes_on_says_with_what(width, height):
    lines = captured("resumed", width, height, "18 of 24 trials ended")
    text = "\n".join(lines)
    assert "going on: 18 trials there, 2 again, 4 to go; best 0.8125, trial 9 at 16,000" in text
    assert "18 of 24 trials ended: 4 complete, 14 pruned, 0 failed" in text


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_finished_search_names_its_winner(width, height):
    text = " ".join("".join(captured("finished", width, height, "the winner beats")).split())
    assert "winner: 2 prompts, test accuracy 0.9000 (0.8800 to 0.9200), valid 0.9100" in text
    assert "curve" not in text, "the screen is gone"
