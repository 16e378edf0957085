"""The documentation: its reference, the commands that its pages have, its messages. `make docs` builds it."""

import ast
import importlib.util
import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest

from sp_search.cli.advice.first_look import commands
from sp_search.cli.main import COMMANDS
from sp_search.cli.settings.from_dict import leaves
from sp_search.cli.settings.overrides import GROUPS, SHORT, is_read
from sp_search.units.corpus_tasks import fitting_tasks
from sp_search.units.recordings import read_manifest
from tests.pages.blocks import README, ROOT, SHELL, TUTORIAL, blocks, shell_lines

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RECORD = ROOT / "docs/performance.md"
"""What was measured at its time, with the commands of that time."""
INSIDE = ("space.", "schedule.", "units.", "budget.", "cluster.", "engine.", "tracking.", "winner.", "lm.", "data.")


@pytest.fixture(scope="module")
def hook():
    spec = importlib.util.spec_from_file_location("reference_pages", ROOT / "docs/reference_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def typed_commands():
    """(page, words) of each line in a block of code that calls sp-search."""
    for page in PAGES:
        if page == RECORD:
            continue
        for block in blocks(page):
            for line in block.text.replace("\\\n", " ").splitlines():
                words = shlex.split(line.replace(";", " ; "), comments=True)
                for at, word in enumerate(words):
                    if word == "sp-search" and (at == 0 or words[at - 1] == "do"):
                        ended = words.index(";", at) if ";" in words[at:] else len(words)
                        yield page.relative_to(ROOT), words[at + 1 : ended]


def test_the_table_of_environment_variables_has_all_that_the_program_reads():
    sources = [*(ROOT / "sp_search").rglob("*.py"), *(ROOT / "search_spaces").rglob("*.yaml")]
    read = set()
    for path in sources:
        text = path.read_text()
        read |= {*re.findall(r"environ(?:\.\w+)?[(\[]\s*[\"'](\w+)", text), *re.findall(r"set_env:(\w+)", text)}
        read |= {*re.findall(r"[\"'](\w+)[\"'] in os\.environ", text)}
    assert {"XDG_CACHE_HOME", "MLFLOW_TRACKING_URI", "RAY_TMPDIR", "OMP_WAIT_POLICY"} <= read
    table = (
        (ROOT / "docs/reference/index.md").read_text().partition("## Environment variables")[2].partition("## ")[0]
    )
    assert sorted(read - {*re.findall(r"`(\w+)`", table)}) == []


def faults_of(words):
    """What is wrong with the words behind sp-search."""
    if words[0] == "COMMAND" or words[0].startswith("-") or words[0] in ("help", "completion"):
        return []
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    if name not in COMMANDS:
        return [f"no command {name}"]
    command = import_module(f"sp_search.cli.commands.{name.replace(' ', '_')}")
    schema = get_type_hints(command.run)["config"]
    own = {*leaves(schema)} - {*leaves(import_module("sp_search.config").Settings)}
    keys = [word.partition("=")[0] for word in words[len(name.split()) :] if "=" in word]
    known = {*leaves(schema), *GROUPS, *SHORT}
    unknown = [f"{name}: no key {key}" for key in keys if key not in known and not key.startswith(INSIDE)]
    full = [SHORT.get(key, key) for key in keys]
    unread = [key for key in full if key not in own and not is_read(key, command.READS)]
    return unknown + [f"{name} does not read {key}" for key in unread]


def test_every_command_on_a_page_exists_and_reads_its_settings():
    found = [*typed_commands()]
    assert len(found) > 30
    assert [(str(page), fault) for page, words in found for fault in faults_of(words)] == []


def test_the_five_commands_are_the_same_in_readme_and_tutorial_and_as_init_prints_them(tmp_path, monkeypatch):
    (table,) = (block.text for block in blocks(TUTORIAL) if block.text.startswith("path,split"))
    (tmp_path / "my.csv").write_text(table)
    monkeypatch.chdir(tmp_path)
    tasks = fitting_tasks(read_manifest(tmp_path / "my.csv", ""))
    _, *printed = commands("corpus=my.csv", "my", tasks, Path("clip.wav"))
    (five,) = (block.text.splitlines() for block in blocks(README, SHELL) if "sp-search prepare" in block.text)
    assert five == [line.strip() for line in printed[:5]]
    typed = [line for line in shell_lines(TUTORIAL) if line.startswith("sp-search ")]
    assert typed == ["sp-search doctor", "sp-search init my.csv", *five]


@pytest.mark.parametrize("page", [README, TUTORIAL], ids=lambda page: page.stem)
def test_a_block_is_marked_as_shell_where_it_is_typed_in_one(page):
    """So that the tests which run the blocks of a page miss none."""
    typed = re.compile(r"^(sp-search|make|source|pip|python|curl|export|cd|git) ", re.MULTILINE)
    assert [block.text for block in blocks(page) if bool(typed.search(block.text)) != (block.language == SHELL)] == []


def test_a_wrong_command_on_a_page_would_be_found():
    assert faults_of(["serch", "task=intent"]) == ["no command serch"]
    assert faults_of(["export", "input=a"]) == ["export: no key input", "export does not read input"]
    assert faults_of(["predict", "prompt=a", "task=asr"]) == ["predict does not read task"]


def test_every_message_in_troubleshooting_is_one_of_the_source():
    """Each part between the `...` of a message stands in a text of the source."""
    texts = {
        node.value
        for path in (ROOT / "sp_search").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    source = "\0".join((*texts, (ROOT / "Makefile").read_text()))
    messages = re.findall(r"^`(.+)`\n:", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)
    assert len(messages) > 30
    parts = {part for message in messages for part in re.split(r"\.\.\.|KEY|VALUE|URL", message) if len(part) > 7}
    assert sorted(part for part in parts if part not in source) == []


def test_every_promise_of_the_security_page_names_a_test_that_is_there():
    page = (ROOT / "docs" / "security.md").read_text()
    promises = [
        line for line in page.splitlines() if line.startswith("| ") and "| promise" not in line and "---" not in line
    ]
    for line in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)`", line)
        assert named, line
        assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_page_of_a_command_has_each_of_its_settings_with_its_comment(hook):
    page = hook.command_page("serve")
    assert page.startswith("# sp-search serve\n\nAnswer over HTTP on 127.0.0.1")
    assert "| `prompt` | needed | an exported folder, or several with commas between them |" in page
    assert "| `queue` | `1024` | utterances that may wait; what is beyond is refused with 429 |" in page
    assert "schedule.trials" not in page


def test_the_page_of_spaces_has_the_ranges_of_each_space(hook):
    page = hook.spaces_page()
    for name in (path.stem for path in (ROOT / "search_spaces/space").glob("*.yaml")):
        assert f"\n## {name}\n" in page
    assert "| `space.ngrams` | `{int: [1, 4]}` | units of the longest n-gram; all shorter ones count too |" in page


def test_a_line_of_a_page_stands_for_the_fields_of_a_record(hook):
    page = hook.on_page_markdown("before\n\nfields: sp_search.export.predictor.Prediction\n\nbehind")
    assert page.startswith("before\n\n| field | what it is |\n")
    assert "| `scores` | as `ScoredAnswer` has them, best first |" in page
    assert page.endswith("\n\nbehind")


def test_what_stands_in_a_table_does_not_end_its_cell(hook):
    assert hook._cell("a | b_c `d_e`") == r"a \| b\_c `d_e`"


def test_a_page_that_fetches_from_another_host_is_found(hook):
    font = '<link rel="stylesheet" href="https://fonts.example.org/a.css">'
    script = "<script async src=//cdn.example.org/a.js>"
    link, own = '<a href="https://example.org">', '<link href="../assets/a.css"><img src="images/a.png">'
    assert hook.fetched(f"{link}{font}{own}{script}</script>") == [font, script]
