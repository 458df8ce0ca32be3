"""The command line as the tests of the commands call it."""

from tests.unit.cli.conftest import steward

__all__ = ["steward"]
