"""SIGINT, SIGTERM, a closed terminal, SLURM before it takes a node back: out soon, with one line, nothing lost."""

import os
import signal
import sys
import time

import pytest

from tests.cluster.processes import ends, family, session
from tests.faults.harness import ROOT, ended, moments
from tests.tiny import as_lines, tiny_corpus, tiny_dictionary

pytestmark = [pytest.mark.slow, pytest.mark.faults]
INTERRUPTED = "sp-search: interrupted; the same command goes on from here\n"
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]
SEARCH = ["search", "lm=random:2x32x2", "study=s", "cluster.workers=1", "trials=50", "schedule.budget=100000"]
READY = "from sp_search.cli.main import main; import sys; print(flush=True); sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize("to_all", [False, True], ids=["to the driver", "to all of its processes"])
def test_a_search_stopped_at_many_moments_comes_to_the_same(search, undisturbed, to_all):
    """A terminal sends its signals to all processes of a job, and so does SLURM."""
    asked = [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1] if to_all else [*SIGNALS, signal.SIGTERM]
    for number, at in zip(asked, moments(f"stopped {to_all}", len(asked), 6.0), strict=True):
        with search.start() as process:
            search.wait_for_events(process, 1)
            time.sleep(at)
            was_over = process.poll() is not None
            for pid in family(process.pid) if to_all else [process.pid]:
                os.kill(pid, number)
            said = ended(process, code=0 if was_over else 130)
            assert said == ("" if was_over else INTERRUPTED)
            assert ends(process.pid), "Ray's processes end with the search"
    search.end()
    assert search.outcome() == undisturbed


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name, split in tiny_corpus(train=200, valid=40, test=40).splits.items():
        (folder / f"{name}.txt").write_text("\n".join(as_lines(split, tiny_dictionary())) + "\n")
    return folder


@pytest.mark.parametrize("at", moments("set-up", 8, 9.0), ids=lambda at: f"{at:.1f}s")
def test_a_command_is_stopped_while_it_is_set_up(data, tmp_path, at):
    """From the first import on: the corpus is read, rivals are fitted, Ray starts, workers build their trainers."""
    words = [*SEARCH, f"data={data}", f"runs={tmp_path}", "log=json", "tracking.enabled=false"]
    with session([sys.executable, "-c", READY, *words], cwd=ROOT) as process:
        assert process.stdout.readline() == "\n"
        time.sleep(at)
        process.send_signal(SIGNALS[int(at * 1000) % len(SIGNALS)])
        said = [line for line in ended(process, code=130).splitlines(keepends=True) if not line.startswith("{")]
        assert ends(process.pid)
    assert [line for line in said if not line.startswith(("sp-search: data: ", "sp-search: rivals"))] == [INTERRUPTED]
