"""What goes back to a caller: JSON with a status, and the one form every fault takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

import orjson

from steward.errors import StewardError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
# After this answer the caller's bytes can no longer be told apart: half a body may be on its way.
CLOSE = (b"connection", b"close")


class Reply(NamedTuple):
    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, send: Send) -> None:
        length = (b"content-length", b"%d" % len(self.body))
        headers = [_JSON, length, *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A reply is an ASGI application, so that slow routes may return it too."""
        await self.send(send)


def reply(value: Any, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    return Reply(status, orjson.dumps(value), headers)


def problem(error: StewardError, code: str, status: int, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """`code` is for programs; what, where and the hint are for people."""
    said = f"{error.where}: {error.what}" if error.where else error.what
    return reply({"error": said, "code": code, "hint": error.hint}, status, headers)


def server_failed() -> Reply:
    return reply({"error": "the server failed", "code": "internal", "hint": "see its log"}, 500)
