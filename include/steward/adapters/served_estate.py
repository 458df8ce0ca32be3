"""What model servers serve, asked of each over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from steward.errors import UnavailableError
from steward.inventory import ServedVersion


class HttpServedEstate:
    """`urls` are the model servers of the deployment; `token` is what they ask of every caller, if they do."""

    def __init__(self, urls: Sequence[str], token: str | None = None, timeout: float = 5.0) -> None:
        self.urls, self.timeout = tuple(urls), timeout
        self._headers = {"authorization": f"Bearer {token}"} if token else {}

    def served(self) -> list[ServedVersion]:
        return [version for url in self.urls for version in self._ask(url.rstrip("/"))]

    def _ask(self, url: str) -> list[ServedVersion]:
        try:
            answer = httpx.post(f"{url}/v2/repository/index", json={}, headers=self._headers, timeout=self.timeout)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            hint = "start it, or take it off STEWARD_SERVER_URL"
            raise UnavailableError(
                f"the model server does not say what it serves: {error}", where=url, hint=hint
            ) from error
        return [
            ServedVersion(url, row["name"], int(row["version"]), row["digest"], row["role"])
            for row in answer.json()
            if row["state"] == "READY"
        ]
