"""PostgreSQL's notices of changed routes, so that a server need not wait for its next poll."""

from __future__ import annotations

from typing import Any

from steward.adapters.postgres.connection import KEPT_ALIVE
from steward.errors import UnavailableError

CHANNEL = "steward_routes"
_CONNECT_SECONDS = 5


class RouteNotices:
    """Holds one connection, opened when first waited on and again after a loss. For one thread."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url.replace("postgresql+psycopg://", "postgresql://", 1)
        self._connection: Any = None

    def wait(self, seconds: float) -> bool:
        """True as soon as a route was changed, False after `seconds`. Raises UnavailableError without a database."""
        import psycopg

        try:
            if self._connection is None:
                given: dict[str, Any] = {"connect_timeout": _CONNECT_SECONDS, **KEPT_ALIVE}
                self._connection = psycopg.connect(self._url, autocommit=True, **given)
                self._connection.execute(f"LISTEN {CHANNEL}")
                return True  # whatever was missed before
            return next(self._connection.notifies(timeout=seconds, stop_after=1), None) is not None
        except psycopg.Error as error:
            self.close()
            raise UnavailableError(f"no notices of routes: {error}", where=CHANNEL, hint="polling goes on") from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
