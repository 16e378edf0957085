"""One file over HTTP into `NAME.part`, going on behind what an earlier try brought.

`NAME.part.json` says which version of the file on the server the part is of (RFC 9110, If-Range): two versions are
never joined.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError

from sp_search.errors import DownloadError
from sp_search.files.write import write_text
from sp_search.published.meter import Meter

TIMEOUT_S = (10.0, 60.0)  # to connect; from one piece of the body to the next
PAUSES_S = (1.0, 2.0, 4.0, 8.0)  # between tries; as many in a row may bring nothing
PIECE = 1 << 16  # bytes; as many may be lost when a connection drops
THIS_MACHINE = ("127.0.0.1", "::1", "localhost")
BUSY = {408, 425, 429, 500, 502, 503, 504}


class _BrokenOffError(Exception):
    """The body has not come whole; another try may bring the rest."""


def receive(url: str, path: Path, meter: Meter) -> Path:
    """Bring the file to its part, and return the part, whole and not yet checked.

    A dropped connection, a body cut short and a busy server are tried again, each time from where the last try
    ended; only tries in a row that bring nothing are counted.

    Args:
        url: https, or http on this machine.
        path: where the file is to be in the end, named when a person must help.
        meter: shown how much has come.

    Raises:
        DownloadError: the server can't be reached, has no such file, or stops answering; the disk is full.
    """
    part = path.with_name(f"{path.name}.part")
    began_at, failures = _size(part), 0
    with requests.Session() as session:
        for scheme in ("https://", "http://"):
            session.mount(scheme, _SafeAdapter())
        while True:
            had = _size(part)
            try:
                _go_on(session, url, part, meter)
                return part
            except (_BrokenOffError, requests.RequestException) as error:
                size = _size(part)
                if _unreachable(error) and size == began_at:
                    raise DownloadError(
                        f"{url}: expected a file, got no connection ({_why(error)}); "
                        f"download it elsewhere and put it at {path}"
                    ) from error
                failures = 0 if size > had else failures + 1
                if failures > len(PAUSES_S):
                    raise DownloadError(
                        f"{url}: expected the whole file, got {size:,} bytes, then {_why(error)} {failures} times; "
                        "run it again to go on from there"
                    ) from error
                pause = PAUSES_S[max(0, failures - 1)]
                meter.say(f"{_why(error)} after {size:,} bytes; trying again in {pause:.0f} s")
                time.sleep(pause)


class _SafeAdapter(HTTPAdapter):
    """Sends nothing in the clear but on this machine; a redirect passes here too."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        address = urlsplit(str(request.url))
        if address.scheme != "https" and address.hostname not in THIS_MACHINE:
            raise DownloadError(f"{request.url}: expected an https address, got {address.scheme}")
        return super().send(request, *args, **kwargs)


def _go_on(session: requests.Session, url: str, part: Path, meter: Meter) -> None:
    """One try, from the end of the part if it is known what it is a part of."""
    note = part.with_name(f"{part.name}.json")
    version, total = _read_note(note)
    received = _size(part)
    if received == total:
        return
    headers = {"Accept-Encoding": "identity"}
    if version and received:
        headers |= {"Range": f"bytes={received}-", "If-Range": version}
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        goes_on = _goes_on(answer, received, part)
        if not goes_on:
            length = answer.headers.get("Content-Length")
            received, total = 0, None if length is None else int(length)
            part.unlink(missing_ok=True)
            write_text(note, json.dumps({"version": _version(answer), "bytes": total}))
        _check_room(part, (total or 0) - received)
        with part.open("ab") as out:
            meter.show(received, total)
            for piece in answer.iter_content(PIECE):
                out.write(piece)
                received += len(piece)
                meter.show(received, total)
    if total is not None and received != total:
        if received > total:
            part.unlink()
        raise _BrokenOffError(f"{received:,} bytes for {total:,}")


def _goes_on(answer: requests.Response, received: int, part: Path) -> bool:
    """Whether the body is the rest of the part; False when it is the whole file."""
    said = f"{answer.status_code} {answer.reason}"
    if answer.status_code == 206:
        start = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        if start and int(start[1]) == received:
            return True
    if answer.status_code in (206, 416):  # not what was asked for: begin anew
        part.unlink(missing_ok=True)
        raise _BrokenOffError(f"another range ({said})")
    if answer.status_code in BUSY:
        raise _BrokenOffError(said)
    if answer.status_code != 200:
        raise DownloadError(f"{answer.url}: expected a file, got {said}")
    if "html" in answer.headers.get("Content-Type", ""):
        raise DownloadError(
            f"{answer.url}: expected a file, got a web page; does a proxy or a login page stand in between?"
        )
    return False


def _version(answer: requests.Response) -> str | None:
    """What If-Range can ask for: a strong ETag, else the date; None where versions can't be told apart."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified")


def _read_note(note: Path) -> tuple[str | None, int | None]:
    try:
        read = json.loads(note.read_text())
        return read["version"], read["bytes"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # absent, or cut off by a crash: begin anew
        return None, None


def _check_room(part: Path, missing: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise DownloadError(
            f"{part}: expected {missing:,} bytes free for the rest of the file, got {free:,}; "
            "make room, or choose another disk with cache=PATH"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _unreachable(error: Exception) -> bool:
    """Whether no connection came about at all, as when offline."""
    if isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError | requests.ConnectTimeout):
        return True
    return isinstance(error, requests.ConnectionError) and isinstance(error.args[0], MaxRetryError)


def _why(error: BaseException) -> str:
    """What the first of the errors that led here says, in a few words."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
