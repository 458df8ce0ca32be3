"""What is served, and who was told what, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from steward.errors import UnavailableError
from steward.inventory import ServedVersion


class FakeServedEstate:
    def __init__(self) -> None:
        self.versions: list[ServedVersion] = []
        self.away = False

    def served(self) -> list[ServedVersion]:
        if self.away:
            raise UnavailableError("the model server does not answer", where="memory", hint="set away = False")
        return list(self.versions)


class FakeNotifier:
    """`sent` holds (recipients, title, body) in order."""

    def __init__(self) -> None:
        self.sent: list[tuple[tuple[str, ...], str, str]] = []
        self.away = False

    def notify(self, to: Sequence[str], title: str, body: str) -> None:
        if self.away:
            raise UnavailableError("nobody can be told", where="memory", hint="set away = False")
        self.sent.append((tuple(to), title, body))
