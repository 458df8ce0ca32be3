"""Fakes and builders for the tests of Steward and of whatever is built on it."""

from steward.testing.clock import FrozenClock
from steward.testing.database import FakeDatabase, FakeTransaction

__all__ = ["FakeDatabase", "FakeTransaction", "FrozenClock"]
