"""What is served, and who was told what, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from steward.errors import NotFoundError, UnavailableError
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


class FakeArchive:
    """Files in a dictionary; altering one there is what a thief or a bad disk does."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.away = False

    def put(self, name: str, content: bytes) -> None:
        self._check()
        self.files[name] = content

    def get(self, name: str) -> bytes:
        self._check()
        if name not in self.files:
            raise NotFoundError("the archive has no such file", where=name)
        return self.files[name]

    def address(self, name: str) -> str:
        return f"memory:archive/{name}"

    def _check(self) -> None:
        if self.away:
            raise UnavailableError("the archive does not answer", where="memory", hint="set away = False")
