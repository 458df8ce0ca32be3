"""The command line, `steward COMMAND`. What changes the record goes through the same actions as Airflow."""

from steward.cli.boundary import main

__all__ = ["main"]
