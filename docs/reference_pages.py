"""A hook of mkdocs: makes the reference of commands and settings from the source, when the site is built.

`sp_search.cli.settings.reference` is the one source of help, tab completion and these pages. Nothing is written into
this folder: the pages exist in memory alone.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, get_type_hints

from sp_search.cli.main import COMMANDS
from sp_search.cli.settings.comments import group_comment, record_comments
from sp_search.cli.settings.overrides import GROUPS, TAKES_PATH, options
from sp_search.cli.settings.reference import OWN, Reference, Setting, command_reference

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

SECTION = "Reference"
"""The entry of the nav that the pages are added to."""

NAMED = {OWN: "Settings of this command", "": "Places", "space": "space"}
"""Sections whose title is not their key."""

FIELDS = re.compile(r"^fields: (?P<module>[\w.]+)\.(?P<record>\w+)$", re.MULTILINE)
"""A line of a page that stands for a record's fields."""

FETCHES = re.compile(r"""<(?:(?:script|img|iframe|source)[^>]*\bsrc|link[^>]*\bhref)=["']?(?:https?:)?//[^>]*>""")

_LOG = logging.getLogger("mkdocs.hooks.reference_pages")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the pages to the nav."""
    assert config.nav is not None
    (section,) = (entry[SECTION] for entry in config.nav if SECTION in entry)
    section += [
        {"Groups of settings": "reference/groups.md"},
        {"Search spaces": "reference/spaces.md"},
        {"Commands": [{f"sp-search {name}": _path(name)} for name in COMMANDS]},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to the site."""
    from mkdocs.structure.files import File  # the module can be imported without mkdocs, by its test

    pages = {_path(name): command_page(name) for name in COMMANDS}
    pages |= {"reference/groups.md": groups_page(), "reference/spaces.md": spaces_page()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put a table in the place of each `fields: MODULE.RECORD`."""
    return FIELDS.sub(lambda found: fields_table(found["module"], found["record"]), markdown)


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Warn of a page that would fetch something from another host; `make docs` makes the warning an error."""
    for tag in fetched(output):
        _LOG.warning("%s: expected nothing from another host, got %s; keep a copy in docs/", page.file.src_uri, tag)
    return output


def fetched(html: str) -> list[str]:
    """The tags of a page that fetch something from another host. Links that a reader may follow are none."""
    return FETCHES.findall(html)


def fields_table(module: str, record: str) -> str:
    """The fields of a record with their comments."""
    comments = record_comments(getattr(import_module(module), record))
    rows = [f"| `{name}` | {_cell(comment)} |" for name, comment in comments.items() if "." not in name]
    return "\n".join(["| field | what it is |", "| --- | --- |", *rows])


def command_page(name: str) -> str:
    """The page of a command: what it does, an example, and every setting that it reads."""
    found = _reference(name)
    lines = [f"# sp-search {name}", "", *_docstring(found.about), "", "```", found.example, "```", ""]
    sections = found.of_section
    for section in sorted(sections, key=lambda key: (key != OWN, key != "")):
        title, about = NAMED.get(section, section), found.sections.get(section, "")
        lines += [f"## {title}", "", about, "", *_table(sections[section]), ""]
    if found.groups:
        named = ", ".join(f"[`{group.name}`](../groups.md#{group.name})" for group in found.groups)
        lines += ["## Groups", "", f"A name stands for a set of values: {named}.", ""]
    return "\n".join(lines)


def groups_page() -> str:
    """Every group, and what each of its options is."""
    lines = ["# Groups of settings", "", "`GROUP=NAME` takes all values of one file in `search_spaces/`.", ""]
    for group in GROUPS:
        path = TAKES_PATH.get(group)
        lines += [f"## {group}", "", *([f"A name below, or {path}.", ""] if path else [])]
        lines += ["| name | what it is |", "| --- | --- |"]
        lines += [f"| `{name}` | {_cell(group_comment(group, name)) or 'published'} |" for name in options(group)]
        lines.append("")
    return "\n".join(lines)


def spaces_page() -> str:
    """Every search space with its ranges."""
    lines = [
        "# Search spaces", "",
        "What a search draws for each trial. `space=NAME` takes a space, and `space.KEY=VALUE` sets one value of it.",
        "How to write a range: [Change the search space](../how-to/space.md).", "",
    ]  # fmt: skip
    for name in options("space"):
        found = _reference("search", [f"space={name}"])
        settings = [setting for setting in found.settings if setting.section == "space"]
        lines += [f"## {name}", "", group_comment("space", name), "", *_table(settings), ""]
    return "\n".join(lines)


def _reference(name: str, words: Sequence[str] = ()) -> Reference:
    command = import_module(f"sp_search.cli.commands.{name.replace(' ', '_')}")
    schema = get_type_hints(command.run)["config"]
    return command_reference(name, command, schema, [*getattr(command, "STARTS_FROM", ()), *words])


def _path(name: str) -> str:
    return f"reference/commands/{name.replace(' ', '-')}.md"


def _docstring(text: str) -> list[str]:
    """A docstring as Markdown: words such as `key=` and patterns with a star stand as they are."""
    return [line if line.startswith("    ") else _escaped(line) for line in text.splitlines()]


def _table(settings: Sequence[Setting]) -> Iterator[str]:
    yield "| setting | value | what it is |"
    yield "| --- | --- | --- |"
    for setting in settings:
        value = "needed" if setting.needed else f"`{_cell(setting.value, code=True)}`" if setting.value else ""
        told = [_cell(setting.comment)] if setting.comment else []
        if setting.choices and not all(choice in setting.comment for choice in setting.choices):
            told.append(f"one of {', '.join(setting.choices)}")
        if setting.short:
            told.append(f"short: `{setting.short}=`")
        yield f"| `{setting.key}` | {value} | {'; '.join(told)} |"


def _cell(text: str, *, code: bool = False) -> str:
    """A text in a table: a bar would end its cell."""
    return (text if code else _escaped(text)).replace("|", "\\|")


def _escaped(text: str) -> str:
    """A text whose stars, underscores and angles are none of Markdown's, but for what stands between backticks."""
    parts = text.split("`")
    plain = str.maketrans({"*": r"\*", "_": r"\_", "<": "&lt;", "[": r"\["})
    return "`".join(part if number % 2 else part.translate(plain) for number, part in enumerate(parts))
