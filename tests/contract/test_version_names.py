"""What TAB offers behind a model's name, from a real PostgreSQL by the application's own role."""

from __future__ import annotations

from steward.adapters.postgres import PostgresDatabase
from steward.adapters.version_names import version_numbers
from steward.testing.builders import MODEL, a_new_version


def test_the_versions_on_record(postgres_database: PostgresDatabase, database_url: str) -> None:
    with postgres_database.begin() as tx:
        tx.versions.add(a_new_version())
        tx.versions.add(a_new_version())
    assert version_numbers(database_url, MODEL) == [1, 2]
    assert version_numbers(database_url.replace("postgresql://", "postgresql+psycopg://"), "churn") == []
