"""Servers hear of a changed route from PostgreSQL itself."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest

from steward.adapters.postgres import PostgresDatabase
from steward.adapters.route_notices import RouteNotices
from steward.errors import UnavailableError
from steward.rollout import Route


def test_a_changed_route_ends_the_wait(postgres_database: PostgresDatabase, database_url: str) -> None:
    notices = RouteNotices(database_url)
    assert notices.wait(1.0)  # the first wait says to look at once
    assert not notices.wait(0.05)

    def change() -> None:
        with postgres_database.begin() as transaction:
            transaction.routes.set(Route("flight_delays", None, 1, 100, 1, datetime.now(UTC)))

    timer = threading.Timer(0.2, change)
    started = time.monotonic()
    timer.start()
    try:
        assert notices.wait(10.0)
        assert time.monotonic() - started < 5.0
    finally:
        timer.join()
        notices.close()


def test_a_database_that_is_away_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="no notices of routes"):
        RouteNotices("postgresql+psycopg://nobody@127.0.0.1:1/none").wait(0.1)
