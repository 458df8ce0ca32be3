"""The routes of the model server and what they answer. Faults become typed JSON: error, code, hint."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version as metadata_version
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
from steward.errors import StewardError
from steward.serving.answers.answering import Answering, Limits
from steward.serving.answers.failures import RefusedRequestError
from steward.serving.http import openapi
from steward.serving.http.admission import Admission
from steward.serving.http.bodies import read_body
from steward.serving.http.hot_path import HotPath
from steward.serving.http.paths import PATHS
from steward.serving.http.replies import AsgiApp, Receive, Reply, Scope, Send
from steward.serving.log.recorder import PredictionRecorder
from steward.serving.log.row_counts import RowCount
from steward.serving.memory.artefact_cache import ArtefactCache
from steward.serving.process.slots import Slot
from steward.serving.protocols import inference_protocol, outcomes
from steward.serving.protocols.calls import parse_json
from steward.serving.routing.routing_table import RoutingTable
from steward.serving.routing.saved_table import SavedTable
from steward.serving.routing.sources import ServingSources
from steward.serving.routing.trip_reports import TripReport, TripReports, tell_nobody
from steward.serving.telemetry.metrics import ServerMetrics
from steward.serving.telemetry.table_metrics import TableMetrics
from steward.serving.telemetry.tracing import TracedAnswering, TracedRequests, tracer_of
from steward.types import format_instant

log = logging.getLogger(__name__)

_EXTENSIONS = ["model_repository", "mlflow_invocations", "outcomes"]

AnyReply = Response | Reply
Handler = Callable[[Request], Awaitable[AnyReply]]


@dataclass(frozen=True)
class ServerOptions:
    """`home` keeps the saved routing table and the artefact cache. `token`: every route but health asks for it.
    `slot` is this process's own among those that share `home`; servers of one `address` add up their metrics.

    `hash_key` keys the hashes of columns whose privacy is `hash`; `flush_interval` in seconds bounds a crash's loss.
    """

    home: Path
    flush_interval: float = 1.0
    log_capacity: int = 200_000
    hash_key: bytes = b""
    token: str | None = None
    limits: Limits = field(default_factory=Limits)
    slot: Slot | None = None
    address: str = ""
    memory: int | None = None

    @property
    def own(self) -> Path:
        """Where this process alone writes; what is under `home` itself, the servers of a host share."""
        return self.slot.folder if self.slot else self.home


def create_app(
    sources: ServingSources,
    predictions: PredictionLog,
    clock: Clock,
    options: ServerOptions,
    wait_for_notice: Callable[[float], object] | None = None,
    report_trip: TripReport = tell_nobody,
) -> ModelServer:
    """The server as an ASGI application; its lifespan starts and stops the follower and the prediction log's writer."""
    metrics = ServerMetrics()
    count = RowCount(options.home / "prediction-log.count")
    recorder = PredictionRecorder(predictions, count, metrics.lost, options.flush_interval, options.log_capacity)
    metrics.watch_pending(lambda: recorder.pending_rows)
    metrics.lost("", count.lost_before)
    shared = metrics.share(options.slot, options.address) if options.slot else None
    trips = TripReports(options.home / "trips", report_trip)

    def routed(model: str, epoch: int) -> None:
        metrics.routed(model, epoch)
        trips.routed(model, epoch)

    table = RoutingTable(
        sources,
        ArtefactCache(options.home / "artefacts"),
        SavedTable(options.own / "routes.json"),
        options.hash_key,
        routed,
        trips.found,
        options.memory,
    )
    tracer = tracer_of()
    given = (table, recorder, metrics, clock, options.limits, trips.record)
    answering = TracedAnswering(tracer, *given) if tracer else Answering(*given)
    admission = Admission(table, metrics, options.token, options.limits.in_flight)
    metrics.registry.register(TableMetrics(table, admission.in_flight, recorder))
    door = Door(table, answering, admission, recorder, predictions, metrics, options, trips)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        recorder.start()
        table.start(wait_for_notice)
        trips.start(table.trip)
        if shared:
            shared.start()
        try:
            yield
        finally:
            table.stop()
            answering.stop()
            await asyncio.get_running_loop().run_in_executor(None, trips.stop)
            await asyncio.get_running_loop().run_in_executor(None, recorder.stop)
            if shared:
                shared.stop()

    handlers: dict[Any, Any] = {HTTPException: door.no_such_route, Exception: _unexpected}
    slow = Starlette(routes=door.routes(), lifespan=lifespan, exception_handlers=handlers)
    slow.router.redirect_slashes = False
    hot_path = HotPath(answering, admission, table, options.limits, slow)
    return ModelServer(TracedRequests(tracer, hot_path) if tracer else hot_path, admission)


class ModelServer:
    """The ASGI application. `draining`: set it before the end, and readiness sends traffic elsewhere."""

    def __init__(self, hot_path: AsgiApp, admission: Admission) -> None:
        self._hot_path, self._admission = hot_path, admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._hot_path(scope, receive, send)

    @property
    def draining(self) -> bool:
        return self._admission.draining

    @draining.setter
    def draining(self, leaving: bool) -> None:
        self._admission.draining = leaving


class Door:
    """The routes beside the hot path, a method each: it answers, or raises what `_guarded` turns into JSON."""

    def __init__(
        self,
        table: RoutingTable,
        answering: Answering,
        admission: Admission,
        recorder: PredictionRecorder,
        predictions: PredictionLog,
        metrics: ServerMetrics,
        options: ServerOptions,
        trips: TripReports,
    ) -> None:
        self._trips = trips
        self._table, self._answering, self._admission, self._recorder = table, answering, admission, recorder
        self._predictions, self._metrics, self._options = predictions, metrics, options

    def routes(self) -> list[Route]:
        mine = [(path, getattr(self, path.handler)) for path in PATHS if path.handler]
        return [Route(path.path, self._guarded(handler), methods=[path.method]) for path, handler in mine]

    async def take_outcomes(self, request: Request) -> Response:
        """Acknowledged only when stored. A model's classes are known from when it was first loaded."""
        model = request.path_params["model"]
        if model not in self._table.models:
            self._answering.route(model)
        active = self._table.active.get(model)
        classes = active.spec.data.label.classes if active else None
        rows = outcomes.parse(await self._body(request), datetime.now(UTC), self._options.limits.rows, classes)
        await asyncio.get_running_loop().run_in_executor(None, self._predictions.append_outcomes, model, rows)
        return _json({"stored": rows.num_rows})

    async def metadata(self, request: Request) -> Response:
        active = self._answering.route(request.path_params["model"])
        numbers = [version.ref.number for version in active.loaded]
        return _json(inference_protocol.format_metadata(active.spec, numbers, active.loaded[0].runtime))

    async def version_metadata(self, request: Request) -> Response:
        version = self._answering.version(request.path_params["model"], request.path_params["version"])
        return _json(inference_protocol.format_metadata(version.spec, [version.ref.number], version.runtime))

    async def index(self, request: Request) -> Response:
        """Every version that a route names, and whether it is in memory; the protocol's repository extension."""
        body = await self._body(request) if request.method == "POST" else b""
        ready = parse_json(body).get("ready") if body.strip() else None
        if ready not in (None, True, False):
            raise RefusedRequestError("neither true nor false", where="ready", hint="send true or false")
        return _json([row for row in self._table.index() if not ready or row["state"] == "READY"])

    async def by_rollout_alone(self, request: Request) -> Response:
        said = "a version is loaded when its rollout routes it, and unloaded after; no caller can do either"
        hint = "GET /v2/repository/index says what is loaded; `steward train`, `approve` and `rollback` change it"
        raise RefusedRequestError(
            said, where=request.path_params["model"], hint=hint, code="released_by_rollout", status=403
        )

    async def model_ready(self, request: Request) -> Response:
        active = self._answering.route(request.path_params["model"])
        return _json({"name": active.route.model, "ready": True, "epoch": active.route.epoch})

    async def version_ready(self, request: Request) -> Response:
        version = self._answering.version(request.path_params["model"], request.path_params["version"])
        return _json({"name": version.ref.model, "ready": True, "version": str(version.ref.number)})

    async def mlflow_version(self, request: Request) -> Response:
        return Response(metadata_version("mlflow"), media_type="text/plain")

    async def schema(self, request: Request) -> Response:
        active = [(model, route) for model, route in sorted(self._table.active.items()) if route.loaded]
        features = {model: route.spec.data.features for model, route in active}
        return _json(openapi.document(features, {model: route.contract.groups for model, route in active}))

    async def live(self, request: Request) -> Response:
        return _json({"live": True})

    async def ready(self, request: Request) -> Response:
        """503 until every routed model can answer, and while the server drains. A lost control plane is `degraded`, not
        unready: traffic goes on."""
        table, leaving = self._table, self._admission.draining
        waiting = sorted(set(table.models) - set(table.active))
        ready = not waiting and not leaving and (table.read_once or bool(table.active))
        since, failing = table.unreachable_since, self._recorder.failing_since
        said = ["the server is draining"] if leaving else []
        said += [f"control plane unreachable since {format_instant(since)}"] if since else []
        said += [f"predictions not stored since {format_instant(failing)}"] if failing else []
        said += [f"{trip.ref} is off traffic, which nobody else was told yet" for trip in self._trips.unreported]
        said += [f"{model}: {problem}" for model, problem in sorted(table.problems.items())]
        status = "unready" if not ready else "degraded" if said else "ok"
        epochs = {model: active.route.epoch for model, active in sorted(table.active.items())}
        body = {"ready": ready, "status": status, "reasons": said, "waiting": waiting, "epochs": epochs}
        return _json(body, 200 if ready else 503, {} if ready else {"retry-after": "1"})

    async def server(self, request: Request) -> Response:
        return _json({"name": "steward", "version": __version__, "extensions": _EXTENSIONS})

    async def show_metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def no_such_route(self, request: Request, error: Exception) -> AnyReply:
        """The anonymous are not even told which paths there are."""
        assert isinstance(error, HTTPException)
        path: str = request.scope["path"]  # the request's own URL cannot be read when its query is not UTF-8
        try:
            self._authorize(request)
        except StewardError as refused:
            return self._admission.refusal(refused, "", path)
        hint = "POST /v2/models/MODEL/infer answers; GET /v2 says what this server speaks"
        body = {"error": f"{request.method} {path[:200]}: {error.detail}", "code": "no_such_route", "hint": hint}
        return _json(body, error.status_code, dict(error.headers or {}))

    def _authorize(self, request: Request) -> None:
        self._admission.authorize(request.scope["path"], request.headers.get("authorization", "").encode("latin-1"))

    async def _body(self, request: Request) -> bytes:
        declared, limits = request.headers.get("content-length", ""), self._options.limits
        return await read_body(request.receive, declared.encode(), limits.body_bytes, limits.body_seconds)

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> AnyReply:
            path = request.scope["path"]
            try:
                self._authorize(request)
                return await handler(request)
            except StewardError as error:
                return self._admission.refusal(error, request.path_params.get("model", ""), path)

        return guarded


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


async def _unexpected(request: Request, error: Exception) -> Response:
    if not isinstance(error, ClientDisconnect):
        log.error("unexpected fault at %s", request.scope["path"], exc_info=error)
    return _json({"error": "the server failed", "code": "internal", "hint": "see its log"}, 500)
