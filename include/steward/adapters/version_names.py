"""One short look for somebody who presses TAB. By the driver that loads in a blink: no engine, no pool, a second at
most."""

from __future__ import annotations

_NUMBERS = "SELECT number FROM versions WHERE model = %s ORDER BY number"
_SESSION = {"connect_timeout": 1, "options": "-c statement_timeout=1s", "application_name": "steward completion"}


def version_numbers(url: str, model: str) -> list[int]:
    """Of the versions on record. Raises the driver's error when the database is away."""
    import psycopg2  # type: ignore[import-untyped]

    connection = psycopg2.connect("postgresql://" + url.partition("://")[2], **_SESSION)
    try:
        with connection.cursor() as cursor:
            cursor.execute(_NUMBERS, (model,))
            return [row[0] for row in cursor.fetchall()]
    finally:
        connection.close()
