"""The HTTP interface of `sp-search serve`: requests in, answers out. Starlette has the routes.

`sp_search.cli.commands.serve` says what each of them takes and gives.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sp_search.cli.exported.prompts import answer_record
from sp_search.cli.serving.batcher import Batcher, QueueFullError, TooLargeError, Utterance
from sp_search.cli.serving.metrics import ServerMetrics
from sp_search.cli.serving.room import Room, Take
from sp_search.errors import DataError, DownloadError, UserError

RETRY_S = 1
GONE = 499
"""The status of a request whose client went away before all of it had come; nginx counts them so too."""
MOST_DIGITS = 9
"""Of a number in a query: Python itself refuses some thousands."""


def make_app(
    batcher: Batcher, metrics: ServerMetrics, names: Sequence[str], *, most_bytes: int, waiting_bytes: int
) -> Starlette:
    """The application.

    Args:
        batcher: answers.
        metrics: is told of each request, and shown.
        names: of the prompts, in the order of their answers.
        most_bytes: of a request's body.
        waiting_bytes: of all requests that come in or wait for their answers.
    """
    room = Room(waiting_bytes)

    async def predict(request: Request) -> Response:
        with room.request() as take:
            try:
                return await _predicted(request, await _body(request, most_bytes, take), batcher, names)
            except TooLargeError as error:
                return _error(413, f"{error}; send fewer utterances at once")
            except QueueFullError as error:
                text = f"queue: expected {error}, got a full one; try again in {RETRY_S} s"
                return _error(429, text, {"Retry-After": str(RETRY_S)})
            except UserError as error:
                return _error(503 if isinstance(error, DownloadError) else 400, str(error))

    async def health(request: Request) -> Response:
        prompts = [
            {"name": name, **_about(one.document)} for name, one in zip(names, batcher.prompts.loaded, strict=True)
        ]
        return JSONResponse({"status": "ok", "waiting": batcher.waiting, "prompts": prompts})

    async def show_metrics(request: Request) -> Response:
        return PlainTextResponse(metrics.text(batcher.waiting))

    async def reload(request: Request) -> Response:
        try:
            await run_in_threadpool(batcher.reload)
        except UserError as error:
            return _error(400, f"{' '.join(str(error).split())}; the prompts of before go on answering")
        return await health(request)

    return Starlette(
        routes=[
            Route("/predict", _timed(predict, metrics), methods=["POST"]),
            Route("/health", health),
            Route("/metrics", show_metrics),
            Route("/reload", reload, methods=["POST"]),
        ]
    )


Handler = Callable[[Request], Awaitable[Response]]


def _timed(handler: Handler, metrics: ServerMetrics) -> Handler:
    async def timed(request: Request) -> Response:
        began, status = time.monotonic(), 500
        try:
            response = await handler(request)
            status = response.status_code
            return response
        except ClientDisconnect:
            status = GONE
            return Response(status_code=GONE)  # nobody reads it
        except asyncio.CancelledError:
            status = 503
            return _error(503, "server: expected one that goes on, got one that is being stopped; ask another")
        finally:
            metrics.request(status, time.monotonic() - began)

    return timed


async def _body(request: Request, most_bytes: int, take: Take) -> bytes:
    """The body.

    Raises:
        TooLargeError: it has more than `most_bytes`.
        QueueFullError: there is no room for it beside the other requests.
    """
    found = bytearray()
    async for part in request.stream():
        found += part
        if len(found) > most_bytes:
            raise TooLargeError(f"body: expected up to {most_bytes:,} bytes, got more")
        take(len(part))
    return bytes(found)


async def _predicted(request: Request, body: bytes, batcher: Batcher, names: Sequence[str]) -> Response:
    """The answers to the utterances of a request, once they are there.

    Raises:
        TooLargeError: it has more utterances than the queue takes.
        QueueFullError: it has more than the queue has room for now.
        UserError: an utterance can't be answered.
    """
    top = _top(request)
    utterances, is_one = _utterances(request, body)
    futures = batcher.submit(utterances)
    found = await asyncio.gather(*map(asyncio.wrap_future, futures), return_exceptions=True)
    if fault := next((outcome for outcome in found if isinstance(outcome, BaseException)), None):
        raise fault
    told = [answer_record(answers, names, top) for answers in found if not isinstance(answers, BaseException)]
    return JSONResponse(told[0] if is_one else {"answers": told})


def _utterances(request: Request, body: bytes) -> tuple[list[Utterance], bool]:
    """The utterances of a request, and whether it is about one."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind == "application/json" or body.lstrip()[:1] in (b"{", b"["):  # which no audio file begins with
        return _of_json(body)
    if not body:
        raise DataError("body: expected JSON with units, or the bytes of an audio file, got nothing")
    return [Utterance(id=request.query_params.get("id", "audio"), audio=body)], True


def _of_json(body: bytes) -> tuple[list[Utterance], bool]:
    try:
        record = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DataError(f"body: expected JSON, got {error}") from error
    given = record.get("utterances") if isinstance(record, dict) else record
    if given is None:
        return [_of_record(record, "1")], True
    if not isinstance(given, list) or not given:
        raise DataError(f'body: expected "utterances" as a list with one or more, got {given!r:.60}')
    return [_of_record(one, str(number)) for number, one in enumerate(given, 1)], False


def _of_record(record: Any, name: str) -> Utterance:
    if isinstance(record, dict) and isinstance(record.get("units"), str | list):
        return Utterance(id=str(record.get("id", name)), units=record["units"])
    raise DataError(f'utterance {name}: expected an object with "units", a string or a list, got {record!r:.60}')


def _top(request: Request) -> int:
    given = request.query_params.get("top", "1")
    if not given.isdecimal() or len(given) > MOST_DIGITS or int(given) < 1:
        raise DataError(f"top: expected 1 or more, got {given!r:.40}")
    return int(given)


def _about(document: Any) -> dict[str, Any]:
    return {"task": document["task"], "lm": document["lm"]["name"], "metrics": document["metrics"].get("test", {})}


def _error(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": " ".join(text.split())}, status, headers)
