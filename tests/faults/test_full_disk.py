"""A disk that is full in the middle of a search: it waits, says so, and goes on when there is room."""

import subprocess

import pytest

from tests.faults.harness import Search, ended, moments

pytestmark = [pytest.mark.slow, pytest.mark.faults]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few megabytes."""
    folder = tmp_path / "runs" / "s"
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "small", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"mounts no file system: {mounted.stderr.decode()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    """Take all the room that is left."""
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(bytes(size)) == size:
                    continue
            except OSError:
                continue


def test_a_search_waits_while_the_disk_is_full_and_comes_to_the_same(small_disk, empty_database, undisturbed):
    search = Search(small_disk.parent, empty_database, database=small_disk / "mlflow.db")
    with search.start() as process:
        for at in moments("full disk", 3, 4.0):
            if not search.wait_for_events(process, 3 + int(at)):
                break
            fill(small_disk)
            line = process.stderr.readline()
            while "the disk is full; free some, and it goes on from here" not in line:
                assert line.startswith(("sp-search: ", "MLflow at ")), line
                line = process.stderr.readline()
            (small_disk / "filler").unlink()
        said = ended(process)
    assert "the disk has room again" in said
    found = search.outcome()
    assert (found.trials, found.runs, found.points) == (undisturbed.trials, undisturbed.runs, undisturbed.points)
    assert found == undisturbed
