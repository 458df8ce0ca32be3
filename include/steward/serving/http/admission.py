"""What every request passes before anything is done for it: the token, and how many are answered at once."""

from __future__ import annotations

import hmac
import logging

from steward.errors import StewardError, UnavailableError
from steward.serving.answers.failures import RefusedRequestError, VersionFaultError
from steward.serving.http.paths import OPEN_PATHS
from steward.serving.http.replies import CLOSE, Reply, problem
from steward.serving.routing.routing_table import RoutingTable
from steward.serving.telemetry.metrics import ServerMetrics

log = logging.getLogger(__name__)


class Admission:
    """`draining`: set when the server is to end. It answers what comes, and says on readiness that it is leaving."""

    def __init__(self, table: RoutingTable, metrics: ServerMetrics, token: str | None, in_flight: int) -> None:
        self.draining = False
        self._table, self._metrics, self._limit = table, metrics, in_flight
        self._expected = None if token is None else f"Bearer {token}".encode()
        self._in_flight = 0
        self._by_model: dict[str, int] = {}

    def authorize(self, path: str, authorization: bytes) -> None:
        """Every path but health asks for the token, where there is one. Raises RefusedRequestError without it."""
        if self._expected is None or path in OPEN_PATHS:
            return
        if not hmac.compare_digest(authorization, self._expected):
            hint = "send Authorization: Bearer …"
            raise RefusedRequestError("no valid token", hint=hint, code="unauthorized", status=401)

    def enter(self, model: str, most: int) -> None:
        """Before a request of the model is answered, `most` of them at once. Raises RefusedRequestError when full.

        A model that is asked too much is told so (429) before it takes the others' place (503).
        """
        asked = self._by_model.get(model, 0)
        if asked >= most:
            raise _full(f"{asked} requests of this model", model, "too_many_requests", 429)
        if self._in_flight >= self._limit:
            raise _full(f"{self._in_flight} requests", None, "overloaded", 503)
        self._in_flight += 1
        self._by_model[model] = asked + 1

    def in_flight(self) -> dict[str, int]:
        """Requests that are being answered, by model; of any thread."""
        return dict(self._by_model)

    def leave(self, model: str) -> None:
        """After `enter`, whatever became of the request."""
        self._in_flight -= 1
        self._by_model[model] -= 1

    def refusal(self, error: StewardError, model: str, path: str) -> Reply:
        """How a fault is told, and counted. `model` as the caller wrote it: only one that is served becomes a label."""
        if isinstance(error, RefusedRequestError):
            self._metrics.failed(model if model in self._table.active else "", "", "", error.code)
            return problem(error, error.code, error.status, _headers(error))
        if isinstance(error, VersionFaultError):
            return problem(error, error.kind, 500)
        if isinstance(error, UnavailableError):
            return problem(error, "unavailable", 503, ((b"retry-after", b"1"),))
        log.error("unexpected refusal at %s", path, exc_info=error)
        return problem(error, "internal", 500)


def _full(who: str, where: str | None, code: str, status: int) -> RefusedRequestError:
    said = f"{who} are being answered"
    return RefusedRequestError(said, where=where, hint="slow down", code=code, status=status, retry_after=1)


def _headers(error: RefusedRequestError) -> tuple[tuple[bytes, bytes], ...]:
    again = ((b"retry-after", b"%d" % error.retry_after),) if error.retry_after else ()
    return (*again, CLOSE) if error.status == 408 else again
