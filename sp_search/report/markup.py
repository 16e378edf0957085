"""Pieces of HTML and Markdown: all text is escaped here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def text(value: object) -> str:
    """A value as text of HTML or of an attribute."""
    return html.escape(str(value))


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values, one pair a line; pairs without a value are left out."""
    rows = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs if value)
    return f"<dl>{rows}</dl>"


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in a frame of its own, which scrolls where the screen is narrow."""
    head = "".join(f"<th>{text(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def markdown_table(lines: Iterable[Sequence[str]]) -> str:
    """The same in Markdown, heading and rule included in the lines."""
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def paragraph(line: str, kind: str = "") -> str:
    """A paragraph; nothing for an empty line."""
    if not line:
        return ""
    return f'<p class="{kind}">{text(line)}</p>' if kind else f"<p>{text(line)}</p>"


def short(value: object) -> str:
    """A setting's value for people."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.3g}" if isinstance(value, float) else str(value)
