"""Tells a model server at once that a route changed, over PostgreSQL's LISTEN."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import psycopg
from sqlalchemy import URL

from steward.adapters.postgres.connection import CONNECT_TIMEOUT_SECONDS, place_of, postgres_url
from steward.adapters.postgres.release import ROUTES_CHANNEL

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
LONGEST_PAUSE_SECONDS = 5.0


async def listen_routes(url: str | URL, *, heartbeat: float = HEARTBEAT_SECONDS) -> AsyncIterator[str | None]:
    """Yields the id of each model whose route was set, as its transaction commits. Never ends by itself.

    Yields None after every connect, the first one included: notices may have been missed, so read all routes.
    A lost connection is made again with growing pauses; the caller keeps its last routes meanwhile.
    """
    address = postgres_url(url)
    pause = 0.1
    while True:
        try:
            async for model in _listen_once(address, heartbeat):
                pause = 0.1
                yield model
        except psycopg.OperationalError as error:
            reason = str(error).strip().split("\n", 1)[0]
            log.warning("no news of routes from %s, next try in %.1f s: %s", place_of(address), pause, reason)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


async def _listen_once(address: URL, heartbeat: float) -> AsyncIterator[str | None]:
    dsn = address.set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_SECONDS, application_name="steward routes"
    )
    async with connection:
        await connection.execute(f"LISTEN {ROUTES_CHANNEL}")
        yield None
        while True:
            async for notice in connection.notifies(timeout=heartbeat):
                yield notice.payload
            # A quiet line and a dead one look the same until something is sent.
            await connection.execute("SELECT 1")
