"""The ledger and everything it accounts for, in PostgreSQL."""

from steward.adapters.postgres.database import PostgresDatabase, PostgresTransaction
from steward.adapters.postgres.notices import listen_routes
from steward.adapters.postgres.schema import upgrade

__all__ = ["PostgresDatabase", "PostgresTransaction", "listen_routes", "upgrade"]
