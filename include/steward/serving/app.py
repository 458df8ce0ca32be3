"""The routes of the model server and what they answer. Faults become typed JSON: error, code, hint."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from steward import __version__
from steward.clock import Clock
from steward.data import PredictionLog
from steward.errors import StewardError, UnavailableError
from steward.serving import inference_protocol, mlflow_protocol, outcomes
from steward.serving.answering import Answering, Limits, Result
from steward.serving.calls import Call
from steward.serving.failures import RefusedRequestError, VersionFaultError
from steward.serving.metrics import ServerMetrics
from steward.serving.recorder import PredictionRecorder, RowCount
from steward.serving.routing_table import RoutingTable
from steward.serving.saved_table import SavedTable
from steward.serving.sources import ServingSources
from steward.serving.trip_reports import TripReport, TripReports, tell_nobody
from steward.serving.versions import ArtefactCache
from steward.types import format_instant

log = logging.getLogger(__name__)

_OPEN_PATHS = ("/v2/health/live", "/v2/health/ready")
_IDS_IN_HEADER = 20

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class ServerOptions:
    """`home` keeps the saved routing table and the artefact cache. `token`: every route but health asks for it.

    `hash_key` keys the hashes of columns whose privacy is `hash`; `flush_interval` in seconds bounds a crash's loss.
    """

    home: Path
    flush_interval: float = 1.0
    log_capacity: int = 200_000
    hash_key: bytes = b""
    token: str | None = None
    limits: Limits = field(default_factory=Limits)


def create_app(
    sources: ServingSources,
    predictions: PredictionLog,
    clock: Clock,
    options: ServerOptions,
    wait_for_notice: Callable[[float], object] | None = None,
    report_trip: TripReport = tell_nobody,
) -> Starlette:
    """The server as an ASGI application; its lifespan starts and stops the follower and the prediction log's writer."""
    metrics = ServerMetrics()
    count = RowCount(options.home / "prediction-log.count")
    recorder = PredictionRecorder(predictions, count, metrics.lost, options.flush_interval, options.log_capacity)
    metrics.watch_pending(lambda: recorder.pending_rows)
    metrics.lost("", count.lost_before)
    trips = TripReports(options.home / "trips", report_trip)

    def routed(model: str, epoch: int) -> None:
        metrics.routed(model, epoch)
        trips.routed(model, epoch)

    table = RoutingTable(
        sources,
        ArtefactCache(options.home / "artefacts"),
        SavedTable(options.home / "routes.json"),
        options.hash_key,
        routed,
        trips.found,
    )
    answering = Answering(table, recorder, metrics, clock, options.limits, trips.record)
    door = Door(table, answering, recorder, predictions, metrics, options)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        recorder.start()
        table.start(wait_for_notice)
        trips.start(table.trip)
        try:
            yield
        finally:
            table.stop()
            await asyncio.get_running_loop().run_in_executor(None, trips.stop)
            await asyncio.get_running_loop().run_in_executor(None, recorder.stop)

    handlers: dict[Any, Any] = {HTTPException: _http_error, Exception: _unexpected}
    return Starlette(routes=door.routes(), lifespan=lifespan, exception_handlers=handlers)


class Door:
    """One method per route; each answers in its protocol or raises what `_guarded` turns into JSON."""

    def __init__(
        self,
        table: RoutingTable,
        answering: Answering,
        recorder: PredictionRecorder,
        predictions: PredictionLog,
        metrics: ServerMetrics,
        options: ServerOptions,
    ) -> None:
        self._table, self._answering, self._recorder = table, answering, recorder
        self._predictions, self._metrics, self._options = predictions, metrics, options
        self._in_flight = 0

    def routes(self) -> list[Route]:
        paths: list[tuple[str, Handler, str]] = [
            ("/v2/models/{model}/infer", self.infer, "POST"),
            ("/invocations", self.invoke, "POST"),
            ("/models/{model}/invocations", self.invoke, "POST"),
            ("/v2/models/{model}/outcomes", self.take_outcomes, "POST"),
            ("/v2/models/{model}/ready", self.model_ready, "GET"),
            ("/v2/models/{model}", self.metadata, "GET"),
            ("/v2/repository/index", self.index, "POST"),
            ("/v2/repository/index", self.index, "GET"),
            ("/v2/health/live", self.live, "GET"),
            ("/v2/health/ready", self.ready, "GET"),
            ("/v2", self.server, "GET"),
            ("/metrics", self.show_metrics, "GET"),
        ]
        return [Route(path, self._guarded(handler), methods=[method]) for path, handler, method in paths]

    async def infer(self, request: Request) -> Response:
        model = request.path_params["model"]
        call = inference_protocol.parse(await self._body(request))
        result = await self._answer(model, call)
        return _json(inference_protocol.format_answer(model, call, result))

    async def invoke(self, request: Request) -> Response:
        model = request.path_params.get("model") or request.query_params.get("model") or self._only_model()
        call = mlflow_protocol.parse(await self._body(request))
        result = await self._answer(model, call)
        answer = mlflow_protocol.format_answer(call, result)
        headers = {
            "x-steward-model": model,
            "x-steward-version": str(result.version),
            "x-steward-role": result.role.value,
        }
        if call.rows <= _IDS_IN_HEADER and all(name.isascii() and name.isprintable() for name in call.decision_ids):
            headers["x-steward-decision-ids"] = ",".join(call.decision_ids)
        return _json(answer, headers=headers)

    async def take_outcomes(self, request: Request) -> Response:
        """Acknowledged only when stored."""
        model = request.path_params["model"]
        if model not in self._table.models:
            self._answering.route(model)
        rows = outcomes.parse(await self._body(request), datetime.now(UTC), self._options.limits.rows)
        await asyncio.get_running_loop().run_in_executor(None, self._predictions.append_outcomes, model, rows)
        return _json({"stored": rows.num_rows})

    async def metadata(self, request: Request) -> Response:
        active = self._answering.route(request.path_params["model"])
        versions = [n for n in (active.route.champion, active.route.canary) if n is not None]
        return _json(inference_protocol.format_metadata(active.spec, versions))

    async def index(self, request: Request) -> Response:
        """Every version that a route names, and whether it is in memory; the protocol's repository extension."""
        return _json(self._table.index())

    async def model_ready(self, request: Request) -> Response:
        active = self._answering.route(request.path_params["model"])
        return _json({"name": active.route.model, "ready": True, "epoch": active.route.epoch})

    async def live(self, request: Request) -> Response:
        return _json({"live": True})

    async def ready(self, request: Request) -> Response:
        """503 until every routed model can answer. A lost control plane is `degraded`, not unready: traffic goes on."""
        table = self._table
        waiting = sorted(set(table.models) - set(table.active))
        ready = not waiting and (table.read_once or bool(table.active))
        since, failing = table.unreachable_since, self._recorder.failing_since
        said = [*(f"control plane unreachable since {format_instant(since)}" for _ in (1,) if since)]
        said += [f"predictions not stored since {format_instant(failing)}"] if failing else []
        said += [f"{model}: {problem}" for model, problem in sorted(table.problems.items())]
        status = "unready" if not ready else "degraded" if said else "ok"
        epochs = {model: active.route.epoch for model, active in sorted(table.active.items())}
        body = {"ready": ready, "status": status, "reasons": said, "waiting": waiting, "epochs": epochs}
        return _json(body, 200 if ready else 503, {} if ready else {"retry-after": "1"})

    async def server(self, request: Request) -> Response:
        return _json({"name": "steward", "version": __version__, "extensions": ["mlflow_invocations", "outcomes"]})

    async def show_metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _answer(self, model: str, call: Call) -> Result:
        if self._in_flight >= self._options.limits.in_flight:
            said = f"{self._in_flight} requests are being answered"
            raise RefusedRequestError(said, hint="slow down", code="overloaded", status=503, retry_after=1)
        self._in_flight += 1
        try:
            return await self._answering.answer(model, call)
        finally:
            self._in_flight -= 1

    def _only_model(self) -> str:
        if len(models := self._table.models) == 1:
            return models[0]
        hint = f"POST /models/MODEL/invocations, with one of {', '.join(models[:20]) or 'none yet'}"
        raise RefusedRequestError("which model?", hint=hint, code="unknown_model", status=404)

    async def _body(self, request: Request) -> bytes:
        limit = self._options.limits.body_bytes
        declared = request.headers.get("content-length", "0")
        body = bytearray()
        if not declared.isdecimal() or int(declared) <= limit:
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    break
            else:
                return bytes(body)
        said, hint = f"the body is larger than {limit} bytes", "send fewer rows at a time"
        raise RefusedRequestError(said, hint=hint, code="body_too_large", status=413)

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            try:
                self._authorize(request)
                return await handler(request)
            except StewardError as error:
                return self._refusal(request, error)

        return guarded

    def _authorize(self, request: Request) -> None:
        token = self._options.token
        if token is None or request.url.path in _OPEN_PATHS:
            return
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise RefusedRequestError(
                "no valid token", hint="send Authorization: Bearer …", code="unauthorized", status=401
            )

    def _refusal(self, request: Request, error: StewardError) -> Response:
        model = request.path_params.get("model", "")
        if isinstance(error, RefusedRequestError):
            self._metrics.failed(model if model in self._table.active else "", "", "", error.code)
            headers = {"retry-after": str(error.retry_after)} if error.retry_after else {}
            return _problem(error, error.code, error.status, headers)
        if isinstance(error, VersionFaultError):
            return _problem(error, error.kind, 500)
        if isinstance(error, UnavailableError):
            return _problem(error, "unavailable", 503, {"retry-after": "1"})
        log.error("unexpected refusal at %s", request.url.path, exc_info=error)
        return _problem(error, "internal", 500)


def _problem(error: StewardError, code: str, status: int, headers: dict[str, str] | None = None) -> Response:
    said = f"{error.where}: {error.what}" if error.where else error.what
    return _json({"error": said, "code": code, "hint": error.hint}, status, headers)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    hint = "POST /v2/models/MODEL/infer answers; GET /v2 says what this server speaks"
    body = {"error": f"{request.method} {request.url.path}: {error.detail}", "code": "no_such_route", "hint": hint}
    return _json(body, error.status_code, dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> Response:
    if not isinstance(error, ClientDisconnect):
        log.error("unexpected fault at %s", request.url.path, exc_info=error)
    return _json({"error": "the server failed", "code": "internal", "hint": "see its log"}, 500)
