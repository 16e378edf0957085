"""The house rules of design.md and style.md that a machine can hold: who imports whom, and how long a file may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = [  # bench measures the rooms above it; only the command line uses it
    {"types", "errors", "host", "durations", "message", "prices", "progress_line", "signals"}, {"files"},
    {"published"},
    {"units"}, {"tasks"}, {"metrics"}, {"batches"}, {"lm"}, {"pretrain"}, {"prompts"}, {"rivals"}, {"engine"},
    {"tracking"}, {"export"}, {"search"}, {"report"}, {"demo"}, {"bench"}, {"config"}, {"cli"}, {"__init__"},
]  # fmt: skip
GROUPS = {  # each imports only from those before it, and two of one set not from each other
    "engine": [{"batch", "runtime"}, {"transformer"}, {"prompted"}, {"answer"}, {"trial"}, {"train"}],
    "search": [{"base"}, {"estimate"}, {"cluster", "study", "ui", "workers"}, {"tune"}, {"run"}],
    "tracking": [{"base"}, {"spool"}, {"store"}, {"upload"}, {"api"}],
    "bench": [{"papers", "idle", "strategies"}, {"speed"}, {"peft"}],
    "cli": [{"settings"}, {"exported"}, {"advice", "wiring"}, {"serving"}, {"commands"}, {"verbs"}],
}
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
STOREY = {
    (room, group): storey
    for room, storeys in GROUPS.items()
    for storey, groups in enumerate(storeys)
    for group in groups
}
ABOUT_TEN_FILES = 11
MANY_FILES = {"cli/commands"}  # one a command
OWNERS = {
    "pyarrow": {"files"},
    "mlflow": {"tracking", "export/mlflow_model"},  # which MLflow itself imports
    "ray": {"search", "bench/idle/plain_tune", "bench/peft/plain_tune", "bench/strategies/replay"},  # as baselines
    "optuna": {"search", "bench/strategies/replay"},  # there in memory
    "hydra": {"config", "cli"},
    "omegaconf": {"config", "cli", "pretrain", "units/fairseq_file"},  # fairseq's settings and checkpoints hold it
    "fairseq": {"lm", "pretrain", "units", "demo", "bench"},  # bench: the baseline is fairseq's own decoder
    "fairseq_cli": {"pretrain"},
    "requests": {"published"},
    "starlette": {"cli/serving"},
    "uvicorn": {"cli/commands/serve"},
    "transformers": {"bench"},  # there as a rival: no dependency of the package
    "peft": {"bench"},
    "plotly": {"report"},  # Optuna itself draws with it
}
DISPATCH = {"sp_search/cli/main.py", "sp_search/__init__.py"}  # import a command or a verb when it is known which
MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 60
SOURCES = sorted((ROOT / "sp_search").rglob("*.py"))
ALL = SOURCES + sorted((ROOT / "tests").rglob("*.py"))


def import_faults(path: str, source: str) -> Iterator[str]:
    """What a file of the package may not import, or not there."""
    room = path.split("/")[1].removesuffix(".py")
    tree = ast.parse(source)
    in_functions = {
        inner
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"{path}:{node.lineno}: a relative import"
        for module in imported(node):
            top, _, rest = module.partition(".")
            if top == "sp_search" and rest:
                target = rest.split(".")[0]
                if FLOOR[target] > FLOOR[room]:
                    yield f"{path}:{node.lineno}: {room} imports {target}, a room below it"
                if (room == target) and (fault := group_fault(path, rest)):
                    yield f"{path}:{node.lineno}: {fault}"
                if node in in_functions:
                    yield f"{path}:{node.lineno}: imports {target} inside a function"
            if top in OWNERS and not any(path.startswith(f"sp_search/{owner}") for owner in OWNERS[top]):
                yield f"{path}:{node.lineno}: {room} imports {top}, which {' and '.join(sorted(OWNERS[top]))} owns"
            if module in ("importlib", "importlib.import_module") and path not in DISPATCH:
                yield f"{path}:{node.lineno}: imports by a computed name"
        if isinstance(node, ast.Name) and node.id == "__import__":
            yield f"{path}:{node.lineno}: imports by a computed name"


def group_fault(path: str, module: str) -> str:
    """What is wrong with a room's import of its own module `ROOM.GROUP.FILE`, between its groups; "" for nothing."""
    room, *own = path.split("/")[1:]
    group = own[0] if len(own) > 1 else None  # a file of the room itself lies below all groups
    other = module.split(".")[1] if "." in module else None
    if (room, other) not in STOREY or group is None or group == other:
        return ""
    if STOREY[room, other] < STOREY[room, group]:
        return ""
    return f"{room}/{group} imports {room}/{other}, which is not before it"


def private_imports(source: str) -> Iterator[str]:
    """The names with a leading underscore that a file takes from another one of the package."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sp_search"):
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name.startswith("_"))


def imported(node: ast.AST) -> list[str]:
    """The modules an import statement names, `from sp_search import lm` being sp_search.lm."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module == "sp_search":
        return [f"sp_search.{alias.name}" for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module == "importlib":
        return [f"importlib.{alias.name}" for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_from_rooms_above_it_and_what_its_room_owns(path):
    assert list(import_faults(path.relative_to(ROOT).as_posix(), path.read_text())) == []


def test_every_room_has_its_place_in_the_order():
    below = {path.relative_to(ROOT / "sp_search").parts[0].removesuffix(".py") for path in SOURCES}
    assert below == set(FLOOR)


def test_every_group_has_its_place_in_the_order_and_about_ten_files():
    for room in GROUPS:
        folders = {
            path.name: path for path in (ROOT / "sp_search" / room).iterdir() if (path / "__init__.py").exists()
        }
        assert {(room, name) for name in folders} == {key for key in STOREY if key[0] == room}
        sizes = {f"{room}/{name}": len(list(path.glob("*.py"))) - 1 for name, path in folders.items()}
        assert {name: size for name, size in sizes.items() if size > ABOUT_TEN_FILES and name not in MANY_FILES} == {}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_takes_no_private_name_of_another(path):
    assert list(private_imports(path.read_text())) == []


@pytest.mark.parametrize(
    ("path", "source", "fault"),
    [
        (
            "sp_search/lm/a.py",
            "from sp_search.engine.train.trainer import Pack",
            "lm imports engine, a room below it",
        ),
        ("sp_search/lm/a.py", "from sp_search import engine", "lm imports engine, a room below it"),
        ("sp_search/lm/a.py", "import sp_search.engine.train.trainer", "lm imports engine, a room below it"),
        (
            "sp_search/types.py",
            "if TYPE_CHECKING:\n    import sp_search.units",
            "types imports units, a room below it",
        ),
        (
            "sp_search/engine/batch/a.py",
            "from sp_search.engine.trial.trial import LiveTrial",
            "engine/batch imports engine/trial, which is not before it",
        ),
        (
            "sp_search/engine/batch/a.py",
            "from sp_search.engine.runtime import device",
            "engine/batch imports engine/runtime, which is not before it",
        ),
        ("sp_search/lm/a.py", "from ..engine import pack", "a relative import"),
        ("sp_search/cli/a.py", "def f():\n    from sp_search.lm import zoo", "imports lm inside a function"),
        ("sp_search/cli/a.py", "import importlib", "imports by a computed name"),
        ("sp_search/cli/a.py", "from importlib import import_module", "imports by a computed name"),
        ("sp_search/cli/a.py", "module = __import__('torch')", "imports by a computed name"),
        (
            "sp_search/engine/a.py",
            "def f():\n    import ray.tune",
            "engine imports ray, which bench/idle/plain_tune and bench/peft/plain_tune and bench/strategies/replay "
            "and search owns",
        ),
        (
            "sp_search/lm/a.py",
            "import omegaconf",
            "lm imports omegaconf, which cli and config and pretrain and units/fairseq_file owns",
        ),
    ],
)
def test_the_layer_test_sees_a_forbidden_import(path, source, fault):
    assert [found.partition(": ")[2] for found in import_faults(path, source)] == [fault]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("sp_search/engine/a.py", "from sp_search.engine import batch\nfrom sp_search.lm.architecture import UnitLM"),
        ("sp_search/units/fairseq_file.py", "from omegaconf import DictConfig"),
        ("sp_search/types.py", "from sp_search.errors import DataError"),
        ("sp_search/search/a.py", "def f():\n    import ray"),
        ("sp_search/cli/main.py", "import importlib"),
    ],
)
def test_the_layer_test_lets_an_allowed_import_pass(path, source):
    assert list(import_faults(path, source)) == []


def test_the_command_line_starts_without_a_heavy_import():
    heavy = {"torch", "numpy", "ray", "optuna", "mlflow", "hydra", "omegaconf", "fairseq", "sklearn", "scipy"}
    code = "import sys, sp_search.cli.main; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert heavy & set(done.stdout.split()) == set()


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_and_its_functions_fit_a_reader(path):
    source = path.read_text()
    assert len(source.splitlines()) <= MAX_FILE_LINES
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = [f"{n.name}: {lines}" for n in functions if (lines := n.end_lineno - n.lineno + 1) > MAX_FUNCTION_LINES]
    assert long == []
