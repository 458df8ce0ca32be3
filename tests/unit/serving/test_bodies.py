"""Bodies in one piece, in many, too large, too slow, and broken off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from steward.serving.answers.failures import RefusedRequestError
from steward.serving.http.bodies import read_body

Receive = Callable[[], Awaitable[dict[str, Any]]]


def part(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def arriving(*messages: dict[str, Any], after: float | None = None) -> Receive:
    """Each message at once, or each `after` a pause; when they are over, nothing comes any more."""
    left = list(messages)

    async def receive() -> dict[str, Any]:
        if after is not None:
            await asyncio.sleep(after)
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


def read(receive: Receive, declared: bytes = b"", limit: int = 10, patience: float = 5.0) -> bytes:
    return asyncio.run(read_body(receive, declared, limit, patience))  # type: ignore[arg-type]


def refused(receive: Receive, **given: Any) -> tuple[str, int]:
    with pytest.raises(RefusedRequestError) as caught:
        read(receive, **given)
    return caught.value.code, caught.value.status


@pytest.mark.parametrize("after", [None, 0.0, 0.001])
def test_it_is_read_whole_in_however_many_pieces(after: float | None) -> None:
    assert read(arriving(part(b"whole"), after=after)) == b"whole"
    assert read(arriving(part(b"in ", True), part(b"", True), part(b"parts"), after=after)) == b"in parts"
    assert read(arriving(part(b""), after=after), b"0") == b""


@pytest.mark.parametrize("after", [None, 0.0])
def test_no_more_than_the_limit_is_taken(after: float | None) -> None:
    assert read(arriving(part(b"x" * 10), after=after), b"10") == b"x" * 10
    assert refused(arriving(part(b"x" * 11), after=after)) == ("body_too_large", 413)
    assert refused(arriving(part(b"x" * 6, True), part(b"x" * 5), after=after)) == ("body_too_large", 413)


def test_the_limit_is_named_whatever_came_before_it() -> None:
    with pytest.raises(RefusedRequestError, match="larger than 10 bytes"):
        read(arriving(part(b"x" * 6, True), part(b"x" * 5)))


@pytest.mark.parametrize("declared", [b"11", b"-1", b"ten", "٣".encode(), b"9" * 5000])
def test_a_length_beyond_the_limit_is_refused_unread(declared: bytes) -> None:
    assert refused(arriving(), declared=declared) == ("body_too_large", 413)


@pytest.mark.parametrize("messages", [(), (part(b"half", True),)])
def test_a_body_that_does_not_come_is_given_up(messages: tuple[dict[str, Any], ...]) -> None:
    assert refused(arriving(*messages), patience=0.02) == ("slow_body", 408)


def test_many_quick_pieces_have_one_time_limit_together() -> None:
    assert refused(arriving(*[part(b"", True)] * 1000, after=0.005), patience=0.03) == ("slow_body", 408)


@pytest.mark.parametrize("after", [None, 0.0])
@pytest.mark.parametrize("before", [(), (part(b"half", True),)])
def test_a_caller_who_is_gone_is_known(before: tuple[dict[str, Any], ...], after: float | None) -> None:
    messages = (*before, {"type": "http.disconnect"})
    assert refused(arriving(*messages, after=after)) == ("caller_gone", 400)


def test_who_waits_for_a_body_can_be_cancelled() -> None:
    async def cancelled() -> bool:
        reading = asyncio.ensure_future(read_body(arriving(), b"", 10, 5.0))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        reading.cancel()
        return isinstance((await asyncio.gather(reading, return_exceptions=True))[0], asyncio.CancelledError)

    assert asyncio.run(cancelled())
