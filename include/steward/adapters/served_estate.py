"""What model servers serve, and what they answer, asked of each over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import httpx

from steward.errors import UnavailableError
from steward.inventory import MissingChampion, ServedVersion, ServerStanding, TriedVersion
from steward.inventory.estate import STILL_LOADING
from steward.types import JsonObject, Role

_LOOK_SECONDS = 0.03
# One address may be several processes, and each new connection meets one of them: the slowest of these counts.
_CONNECTIONS = 4
_READY, _SECOND_TRY = "READY", 1.0  # a server that is being restarted is not away

Found = TypeVar("Found")


class HttpServedEstate:
    """`urls` are the model servers of the deployment; `token` is what they ask of every caller, if they do."""

    def __init__(self, urls: Sequence[str], token: str | None = None, timeout: float = 5.0) -> None:
        self.urls, self.timeout = tuple(url.rstrip("/") for url in urls), timeout
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self._client: httpx.Client | None = None

    def served(self) -> list[ServedVersion]:
        return [
            ServedVersion(url, row["name"], int(row["version"]), row["digest"], row["role"])
            for url in self.urls
            for row in self._index(url)
            if row["state"] == _READY
        ]

    def followed(self, model: str, epoch: int, patience: timedelta) -> dict[str, float | None]:
        started = time.monotonic()
        return dict(
            zip(self.urls, self._each(lambda url: self._follow(url, model, epoch, started, patience)), strict=True)
        )

    def tried(self, model: str, version: int, rows: Sequence[JsonObject]) -> list[TriedVersion]:
        return self._each(lambda url: self._try(url, model, version, rows))

    def standing(self) -> list[ServerStanding]:
        return self._each(self._stand)

    def _each(self, ask: Callable[[str], Found]) -> list[Found]:
        """All at once: the slowest endpoint is waited for, not the sum of them."""
        with ThreadPoolExecutor(max(1, len(self.urls))) as pool:
            return list(pool.map(ask, self.urls))

    def _http(self) -> httpx.Client:
        """Every request has a connection of its own; what a client costs to make is paid once."""
        if self._client is None:
            new_ones = httpx.Limits(max_keepalive_connections=0)
            self._client = httpx.Client(headers=self._headers, timeout=self.timeout, limits=new_ones)
        return self._client

    def _index(self, url: str) -> list[JsonObject]:
        try:
            answer = self._http().post(f"{url}/v2/repository/index", json={})
            answer.raise_for_status()
            rows: list[JsonObject] = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            hint = "start it, or take it off STEWARD_SERVER_URL"
            raise UnavailableError(
                f"the model server does not say what it serves: {error}", where=url, hint=hint
            ) from error
        return rows

    def _stand(self, url: str) -> ServerStanding:
        try:
            return self._look(url)
        except UnavailableError:
            time.sleep(_SECOND_TRY)
        try:
            return self._look(url)
        except UnavailableError as error:
            return ServerStanding(url, fault=error.what)

    def _look(self, url: str) -> ServerStanding:
        """What any of its processes misses, and the oldest of the routes they have in force."""
        missing: dict[tuple[str, int], MissingChampion] = {}
        epochs: dict[str, int] = {}
        for _ in range(_CONNECTIONS):
            missing |= {(each.model, each.version): each for each in _missing(self._index(url))}
            for model, epoch in self._epochs(url).items():
                epochs[model] = min(epoch, epochs.get(model, epoch))
        return ServerStanding(url, tuple(missing[key] for key in sorted(missing)), epochs)

    def _follow(self, url: str, model: str, epoch: int, started: float, patience: timedelta) -> float | None:
        seen = 0
        while (waited := time.monotonic() - started) < patience.total_seconds():
            seen = seen + 1 if self._epoch(url, model) >= epoch else 0
            if seen == _CONNECTIONS:
                return waited
            if not seen:
                time.sleep(_LOOK_SECONDS)
        return None

    def _epoch(self, url: str, model: str) -> int:
        """On a connection of its own. 0: none in force, or nobody there."""
        return self._epochs(url).get(model, 0)

    def _epochs(self, url: str) -> dict[str, int]:
        try:
            answer = self._http().get(f"{url}/v2/health/ready")
            return {model: int(epoch) for model, epoch in answer.json().get("epochs", {}).items()}
        except (httpx.HTTPError, ValueError, AttributeError):
            return {}

    def _try(self, url: str, model: str, version: int, rows: Sequence[JsonObject]) -> TriedVersion:
        try:
            index = [row for row in self._index(url) if (row["name"], row["version"]) == (model, str(version))]
        except UnavailableError as error:
            return TriedVersion(url, reached=False, fault=error.what)
        if not index or index[0]["state"] != "READY":
            said = index[0]["reason"] if index else "it is not in its table"
            return TriedVersion(url, fault=f"{model}@{version} is not loaded there: {said}")
        found = TriedVersion(url, index[0]["role"], index[0]["digest"])
        return self._ask(found, model, version, rows) if rows else found

    def _ask(self, found: TriedVersion, model: str, version: int, rows: Sequence[JsonObject]) -> TriedVersion:
        headers = {"x-steward-version": str(version)}
        address, started = f"{found.endpoint}/models/{model}/invocations", time.monotonic()
        try:
            answer = self._http().post(address, json={"dataframe_records": list(rows)}, headers=headers)
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            return replace(found, reached=False, fault=f"it does not answer: {error}")
        seconds = time.monotonic() - started
        if (fault := _fault(answer, body, version)) is not None:
            return replace(found, seconds=seconds, fault=fault)
        return replace(found, seconds=seconds, scores=_scores(body))


def _scores(body: JsonObject) -> Any:
    if "probabilities" in body:
        return tuple(dict(each) for each in body["probabilities"])
    return tuple(float(score) for score in body["scores" if "scores" in body else "predictions"])


def _missing(rows: Sequence[JsonObject]) -> Iterator[MissingChampion]:
    answering = {row["name"]: int(row["version"]) for row in rows if _answers(row)}
    for row in rows:
        gone = row["role"] == Role.CHAMPION and row["state"] != _READY
        if gone and row["reason"] != STILL_LOADING:
            name = row["name"]
            yield MissingChampion(name, int(row["version"]), row["reason"], answering.get(name))


def _answers(row: JsonObject) -> bool:
    return row["state"] == _READY and row["role"] in (Role.CHAMPION, Role.CANARY)


def _fault(answer: httpx.Response, body: Any, version: int) -> str | None:
    if answer.status_code != httpx.codes.OK:
        said = body.get("error", "") if isinstance(body, dict) else ""
        return f"it refused the rows ({answer.status_code}): {said}"
    if (by := answer.headers.get("x-steward-version")) != str(version):
        return f"version {by} answered, not {version}"
    return None
