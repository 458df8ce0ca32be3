"""What is served, and who was told what, in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from steward.errors import NotFoundError, UnavailableError
from steward.inventory import MissingChampion, ServedVersion, ServerStanding, TriedVersion
from steward.monitoring.messages import Message
from steward.monitoring.notifications import Channel
from steward.types import JsonObject

_AWAY = "the model server does not answer"


class FakeServedEstate:
    """`epochs` are those in force by endpoint and model; an endpoint that is not in it follows at once. `missing` are
    champions by endpoint that it cannot load; an endpoint in `silent` does not answer.

    `answer` makes the score of a row; None refuses the rows.
    """

    def __init__(self) -> None:
        self.versions: list[ServedVersion] = []
        self.endpoints: tuple[str, ...] = ("http://fake",)
        self.epochs: dict[tuple[str, str], int] = {}
        self.answer: Callable[[JsonObject], float | None] = lambda row: 0.5
        self.silent: set[str] = set()
        self.missing: dict[str, list[MissingChampion]] = {}
        self.away = False

    def served(self) -> list[ServedVersion]:
        if self.away:
            raise UnavailableError(_AWAY, where="memory", hint="set away = False")
        return list(self.versions)

    def followed(self, model: str, epoch: int, patience: timedelta) -> dict[str, float | None]:
        def seconds(endpoint: str) -> float | None:
            return 0.1 if not self.away and self.epochs.get((endpoint, model), epoch) >= epoch else None

        return {endpoint: seconds(endpoint) for endpoint in self.endpoints}

    def tried(self, model: str, version: int, rows: Sequence[JsonObject]) -> list[TriedVersion]:
        return [self._try(endpoint, model, version, rows) for endpoint in self.endpoints]

    def standing(self) -> list[ServerStanding]:
        return [self._stand(endpoint) for endpoint in self.endpoints]

    def _stand(self, endpoint: str) -> ServerStanding:
        if self.away or endpoint in self.silent:
            return ServerStanding(endpoint, fault=_AWAY)
        epochs = {model: epoch for (where, model), epoch in self.epochs.items() if where == endpoint}
        return ServerStanding(endpoint, tuple(self.missing.get(endpoint, ())), epochs)

    def _try(self, endpoint: str, model: str, version: int, rows: Sequence[JsonObject]) -> TriedVersion:
        if self.away:
            return TriedVersion(endpoint, reached=False, fault=_AWAY)
        wanted = (endpoint, model, version)
        held = [item for item in self.versions if (item.endpoint, item.model, item.version) == wanted]
        if not held:
            return TriedVersion(endpoint, fault=f"{model}@{version} is not loaded there: it is not in its table")
        found = [self.answer(row) for row in rows]
        scores = tuple(score for score in found if score is not None)
        fault = "" if len(scores) == len(rows) else "it refused the rows (400): not like this"
        return TriedVersion(endpoint, held[0].role, held[0].digest, () if fault else scores, 0.01, fault=fault)


class FakeNotifier:
    """`sent` holds (recipients, title, body) in order, `told` the messages by channel; `away_channels` refuse."""

    def __init__(self) -> None:
        self.sent: list[tuple[tuple[str, ...], str, str]] = []
        self.told: list[tuple[str, Message]] = []
        self.away = False
        self.away_channels: set[str] = set()

    def reaches(self, name: str, channel: Channel | None) -> bool:
        return channel is None or not channel.by_airflow

    def notify(self, name: str, channel: Channel | None, message: Message) -> None:
        if self.away or name in self.away_channels:
            raise UnavailableError(f"{name} does not answer", where="memory", hint="set away = False")
        self.told.append((name, message))
        if channel is None:
            self.sent.append((message.to, message.title, message.body))


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
