"""Which changes of the code no test notices: `make mutants [FILES="sp_search/... ..."]`, through mutmut.

mutmut changes a copy of the tree, one operator, number or word at a time, and runs the tests that reach the changed
function, each time in a process forked from one that has imported them. `[tool.mutmut]` in pyproject.toml names the
files whose faults would be the worst, and the fast tests that must notice them. A change under which these still pass
is a survivor. Those that were read and found to change nothing that matters fit a line of `mutants_accepted.txt`,
behind the reason; any other ends the command with 1.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from sp_search.host import cores

ROOT = Path(__file__).parents[1]
TREE = ROOT / "build" / "mutants"
ACCEPTED = Path(__file__).with_name("mutants_accepted.txt")
KILLED = "killed"


def main(files: list[str]) -> int:
    """Mutate these files, or all; print what became of the mutants, and the survivors that nobody accepted."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]["only_mutate"]
    unknown = [file for file in files if file not in known]
    if unknown:
        print(f"mutants: expected files of {', '.join(known)}, got {', '.join(unknown)}", file=sys.stderr)
        return 2
    copy_tree()
    chosen = [f"{file.removesuffix('.py').replace('/', '.')}.*" for file in files]
    mutmut("run", "--max-children", str(cores()), *chosen)
    ends = dict(results())
    survivors = {change: name for name, end in ends.items() if end == "survived" for change in [changed(name)]}
    new = sorted(change for change in survivors if not is_accepted(change))
    print("; ".join(f"{count} {end}" for end, count in Counter(ends.values()).most_common()))
    print(f"{len(survivors) - len(new)} of the survivors are accepted")
    print("".join(f"  {change}\n" for change in new), end="", flush=True)
    return int(bool(new))


def copy_tree() -> None:
    """The files that git knows, in a folder of their own: the tree itself is never changed."""
    shutil.rmtree(TREE, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().splitlines():
        if (source := ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, TREE / name)


def mutmut(*words: str) -> str:
    """What mutmut prints, run in the copy; its tests have a thread each, for they are forked."""
    done = subprocess.run(
        [sys.executable, "-m", "mutmut", *words], cwd=TREE, env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def results() -> Iterator[tuple[str, str]]:
    """What became of each mutant, by name: killed, survived, no tests, timeout and the like."""
    for line in mutmut("results", "--all", "true").splitlines():
        name, _, end = line.strip().partition(": ")
        if end != "not checked":
            yield name, end


def changed(name: str) -> str:
    """A mutant as `mutants_accepted.txt` writes it, which says the same when other lines of the file change."""
    lines = mutmut("show", name).splitlines()
    path = next(line for line in lines if line.startswith("--- ")).removeprefix("--- ")
    old, new = (
        " ".join(line[1:].strip() for line in lines if line.startswith(sign) and not line.startswith(3 * sign))
        for sign in "-+"
    )
    return f"{path}: {old} => {new}"


def is_accepted(change: str) -> bool:
    """Whether a survivor was read and let live: a line of the list, a regular expression, is found in it."""
    lines = [line for line in ACCEPTED.read_text().splitlines() if line and not line.startswith("#")]
    return any(re.search(line, change) for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
