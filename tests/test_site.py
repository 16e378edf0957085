"""The documentation as `make docs` has built it: its links, what it fetches, and how its first page looks.

`make docs` runs these tests behind the build. Pictures go to build/shots.
"""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

from tests.browser import NEEDS_CHROMIUM, SHOTS, chromium

pytestmark = pytest.mark.site
SITE = Path(__file__).parents[1] / "build" / "site"
ADDRESSES = {"a": "href", "link": "href", "img": "src", "script": "src", "source": "src", "iframe": "src"}
OPENED = ("index.html", "tutorial.html", "concepts.html", "reference/commands/search.html", "reference/python.html")


class Page(HTMLParser):
    """The addresses that a page has, and the names of its places."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.names: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.names |= {name for key in ("id", "name") if (name := values.get(key))}
        if address := values.get(ADDRESSES.get(tag, "")):
            self.addresses.append(address)


@pytest.fixture(scope="module")
def pages() -> dict[str, Page]:
    """Every page by its path in the site."""
    found = {path.relative_to(SITE).as_posix(): Page(path.read_text()) for path in sorted(SITE.rglob("*.html"))}
    assert found, f"{SITE}: expected the documentation, found none; run make docs"
    return found


def broken(path: str, page: Page, pages: dict[str, Page]) -> Iterator[str]:
    """The addresses of a page that lead to no file of the site, or to no place in it."""
    for address in page.addresses:
        if urlsplit(address).scheme or address.startswith("//") or path == "404.html":
            continue  # another site's; and the page of no address knows not where it stands
        target, place = urldefrag(urljoin(path, address))
        target = unquote(target) or path
        if target.endswith("/") or target == ".":
            target = f"{target.removesuffix('.')}index.html"
        if not (SITE / target).is_file() or (place and target in pages and unquote(place) not in pages[target].names):
            yield f"{path}: {address}"


def test_every_link_inside_of_the_site_leads_somewhere(pages):
    assert sum(len(page.addresses) for page in pages.values()) > 1000
    assert [fault for path, page in pages.items() for fault in broken(path, page, pages)] == []


def test_a_link_to_nowhere_would_be_found(pages):
    page = Page('<a href="absent.html"></a><a href="#no-such-place"></a><a href="tutorial.html#no-such"></a>')
    assert len([*broken("index.html", page, pages)]) == 3
    page = Page('<a id="here" href="#here"></a><a href="https://example.org/"></a><img src="images/demo-curves.png">')
    assert [*broken("index.html", page, {**pages, "index.html": page})] == []


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address of the site on this machine, for its scripts do nothing in a page that is opened as a file."""

    class Silent(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=SITE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@NEEDS_CHROMIUM
def test_pages_ask_no_other_host_and_the_first_one_fits_a_phone_and_a_desk(served):
    with chromium() as browser:
        for width in (390, 1280):
            tab = browser.new_page(viewport={"width": width, "height": 900})
            asked, faults = [], []
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.on("pageerror", lambda error, faults=faults: faults.append(str(error)))
            for path in reversed(OPENED):  # so that the first page is the last one
                tab.goto(f"{served}/{path}", wait_until="networkidle")
                assert tab.evaluate("document.documentElement.scrollWidth") <= width, path
            tab.screenshot(path=SHOTS / f"docs-{width}.png", full_page=True)
            assert [url for url in asked if not url.startswith((served, "data:", "blob:"))] == []
            assert faults == []
            assert tab.title() == "sp_search"
            tab.close()
