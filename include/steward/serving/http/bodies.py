"""A request's body: no larger than the limit, and no slower than patience allows."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Generator
from typing import Any

from steward.serving.answers.failures import RefusedRequestError
from steward.serving.http.replies import Message, Receive

_MOST_DIGITS = 18


async def read_body(receive: Receive, declared: bytes, limit: int, patience: float) -> bytes:
    """`declared` is the content-length header, empty where there is none; `patience` in seconds, for the whole body.

    Raises RefusedRequestError: too large (413), too slow (408), or broken off. A body that is all there costs no timer:
    that would be more than the checks of a one-row request. So `receive` is begun by hand, and awaited only where it
    has to wait.
    """
    if declared and (not declared.isdigit() or len(declared) > _MOST_DIGITS or int(declared) > limit):
        raise _too_large(limit)
    begun = receive().__await__()
    try:
        waits_for = next(begun)
    except StopIteration as arrived:
        message: Message = arrived.value
        if not message.get("more_body"):
            return _content(message, limit)
        first = _at_once(message)
    else:
        first = _resumed(begun, waits_for)
    try:
        async with asyncio.timeout(patience):
            return await _all(first, receive, limit)
    except TimeoutError as error:
        said, hint = f"the body was not complete after {patience:g} s", "send it at once, or fewer rows at a time"
        raise RefusedRequestError(said, hint=hint, code="slow_body", status=408) from error


async def _all(first: Awaitable[Message], receive: Receive, limit: int) -> bytes:
    message = await first
    body = bytearray(_content(message, limit))
    while message.get("more_body"):
        message = await receive()
        body += _content(message, limit - len(body), limit)
    return bytes(body)


def _content(message: Message, left: int, limit: int | None = None) -> bytes:
    """The bytes of one message, of which `left` may still come."""
    if message["type"] == "http.disconnect":
        # Nobody is told: it is raised to be counted.
        raise RefusedRequestError("the connection was closed before the body was complete", code="caller_gone")
    content: bytes = message.get("body", b"")
    if len(content) > left:
        raise _too_large(left if limit is None else limit)
    return content


async def _at_once(message: Message) -> Message:
    return message


@types.coroutine
def _resumed(begun: Generator[Any, Any, Message], waits_for: Any) -> Generator[Any, Any, Message]:
    """Awaits the rest of what was begun by hand: passes on what it waits for, and what comes back."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001  # a cancellation, and it is handed on
                waits_for = begun.throw(error)
            else:
                waits_for = begun.send(sent)
    except StopIteration as done:
        message: Message = done.value
        return message


def _too_large(limit: int) -> RefusedRequestError:
    said, hint = f"the body is larger than {limit} bytes", "send fewer rows at a time"
    return RefusedRequestError(said, hint=hint, code="body_too_large", status=413)
