"""Connections that cost nothing to hold and must end all the same: slow, endless, or too many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from steward.serving.process.draining import Drain

HEADER_BYTES = 64 * 2**10
MOST_CONNECTIONS = 2_000


class Patience(NamedTuple):
    """In seconds. `headers`: for request line and headers, from the connection or the last answer's next byte.

    `linger`: what is still being sent after the answer was given is read for so long, that the answer is not cut off.
    `reader`: for who does not take an answer; it is counted from when the buffers between are full.
    """

    headers: float = 10.0
    linger: float = 2.0
    reader: float = 30.0


class GuardedConnection(HttpToolsProtocol):
    """uvicorn's own, with a time limit wherever it waits for the caller and the server does not see it."""

    drain = Drain()
    patience = Patience()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._waits: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._in_headers, self._in_message, self._header_bytes = False, False, 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._refuse(503, "too_many_connections", "too many connections are open", "use one for many requests")
            return
        self._wait(self.patience.headers, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_headers:
            self._still_headers(len(data))
        elif self._in_message:
            if self.cycle.response_complete:
                self._wait(self.patience.linger, self.transport.close)
        elif self.timeout_keep_alive_task is None and (self.cycle is None or self.cycle.response_complete):
            # Bytes that begin no request, such as line ends: uvicorn takes them for life.
            self._wait(self.patience.headers, self._too_slow)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers, self._in_message, self._header_bytes = True, True, 0

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._stop_waiting()
        super().on_headers_complete()
        if self.drain.begun:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        self._in_message = False
        self._stop_waiting()
        super().on_message_complete()

    def _still_headers(self, received: int) -> None:
        self._header_bytes += received
        if self._header_bytes > HEADER_BYTES:
            self._refuse(431, "headers_too_large", f"more than {HEADER_BYTES} bytes of headers", "send fewer")
        else:
            self._wait(self.patience.headers, self._too_slow)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.patience.reader, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """A caller that has not even read its answers would hold up a polite close for ever."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "bad_http", msg.rstrip("."), "send HTTP/1.1")

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        """Bytes that trickle in do not start the time anew."""
        if self._waits is None:
            self._waits = self.loop.call_later(seconds, then)

    def _stop_waiting(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None

    def _too_slow(self) -> None:
        self._refuse(408, "too_slow", f"no complete request after {self.patience.headers:g} s", "send it in one go")

    def _refuse(self, status: int, code: str, said: str, hint: str) -> None:
        """Below the application, and typed all the same. In the middle of another answer there is no room for it."""
        self._stop_waiting()
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            body = orjson.dumps({"error": said, "code": code, "hint": hint})
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()


def guarded(drain: Drain, patience: Patience | None = None) -> type[GuardedConnection]:
    """The protocol of a server that drains when told."""
    return type("Connection", (GuardedConnection,), {"drain": drain, "patience": patience or Patience()})
