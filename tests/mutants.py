"""Which changes of the code no test notices: `make mutants [FILES="sp_search/... ..."]`, through cosmic-ray.

A copy of the tree is changed, one operator or number at a time, and the tests that are named here for the file run on
it. A change under which they still pass is a survivor. Those that were read and found to change nothing that matters
are in `mutants_accepted.txt`, with the reason; any other ends the command with 1.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "mutants"
ACCEPTED = Path(__file__).with_name("mutants_accepted.txt")
ANSWER = "tests/engine/answer tests/engine/prompted/test_golden.py"
TARGETS = {
    "sp_search/engine/answer/label_map.py": ANSWER,
    "sp_search/engine/answer/answer_tree.py": ANSWER,
    "sp_search/engine/answer/loss.py": f"{ANSWER} tests/engine/train/test_papers_recipe.py",
    "sp_search/engine/answer/score.py": ANSWER,
    "sp_search/engine/answer/evaluator.py": ANSWER,
    "sp_search/search/tune/scheduler.py": "tests/search/tune",
    "sp_search/search/tune/optuna_searcher.py": "tests/search/tune",
    "sp_search/search/tune/recorder.py": "tests/search/tune",
    "sp_search/search/study/sampler.py": "tests/search/study tests/search/tune",
    "sp_search/search/study/trials.py": "tests/search/study tests/search/tune",
    "sp_search/metrics/ensemble.py": "tests/metrics tests/rivals",
    "sp_search/search/run/race.py": "tests/search/run",
    "sp_search/search/run/answers.py": "tests/search/run",
    "sp_search/tracking/store/run_updates.py": "tests/tracking/store tests/tracking/upload",
    "sp_search/tracking/upload/sender.py": "tests/tracking/upload",
}
"""The files whose faults would be the worst, and the fast tests that must notice them."""

TIMEOUT_S = 240.0
CONFIG = """[cosmic-ray]
module-path = "{path}"
timeout = {timeout}
excluded-modules = []
test-command = "{python} -m pytest -x -q -p no:cacheprovider -m 'not slow' {tests}"

[cosmic-ray.distributor]
name = "local"
"""


def main(files: list[str]) -> int:
    """Mutate these files, or all; print the survivors that nobody accepted, and how many mutants there were."""
    unknown = [file for file in files if file not in TARGETS]
    if unknown:
        print(f"mutants: expected files of {', '.join(TARGETS)}, got {', '.join(unknown)}", file=sys.stderr)
        return 2
    tree = copied_tree()
    left = 0
    for path in files or TARGETS:
        survivors, total = survivors_of(path, tree)
        new = [survivor for survivor in survivors if survivor not in accepted()]
        left += len(new)
        print(f"{path}: {total} mutants, {len(survivors)} survived, {len(survivors) - len(new)} of them accepted")
        print("".join(f"  {survivor}\n" for survivor in new), end="", flush=True)
    return int(left > 0)


def copied_tree() -> Path:
    """The files that git knows, in a folder of their own: the tree itself is never changed."""
    tree = BUILD / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in listed.stdout.decode().splitlines():
        if (source := ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, tree / name)
    return tree


def survivors_of(path: str, tree: Path) -> tuple[list[str], int]:
    """A file's survivors, as `mutants_accepted.txt` writes them, and how many mutants there were."""
    config, session = BUILD / "config.toml", BUILD / "session.sqlite"
    config.write_text(CONFIG.format(path=path, timeout=TIMEOUT_S, python=sys.executable, tests=TARGETS[path]))
    session.unlink(missing_ok=True)
    for command in (["init", str(config), str(session)], ["exec", str(config), str(session)]):
        subprocess.run([sys.executable, "-m", "cosmic_ray.cli", *command], cwd=tree, check=True, capture_output=True)
    dump = [sys.executable, "-m", "cosmic_ray.cli", "dump", str(session)]
    lines = subprocess.run(dump, cwd=tree, check=True, capture_output=True, text=True).stdout.splitlines()
    source, found = (tree / path).read_text().splitlines(), []
    for item, result in map(json.loads, lines):
        if result is not None and result["test_outcome"] == "survived":
            (mutation,) = item["mutations"]
            line = source[mutation["start_pos"][0] - 1].strip()
            operator = mutation["operator_name"].rpartition("/")[2]
            found.append(f"{path}: {operator} {mutation['occurrence']}: {line}")
    return found, len(lines)


def accepted() -> set[str]:
    """The survivors that were read and let live; lines that begin with # say why."""
    return {line for line in ACCEPTED.read_text().splitlines() if line and not line.startswith("#")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
