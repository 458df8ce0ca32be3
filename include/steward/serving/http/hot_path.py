"""The routes that answer requests for predictions, as plain ASGI: what most requests are, and must be cheap.

A framework's routing, request and response objects cost such a request more than its checks, its version and its log
together. Everything else is handed on to the application behind.
"""

from __future__ import annotations

import logging
from typing import NamedTuple
from urllib.parse import parse_qs

import orjson

from steward.errors import StewardError
from steward.serving.answers.answering import Answering, Limits, Result
from steward.serving.answers.failures import RefusedRequestError
from steward.serving.http.admission import Admission
from steward.serving.http.bodies import read_body
from steward.serving.http.replies import AsgiApp, Receive, Reply, Scope, Send, reply, server_failed
from steward.serving.protocols import inference_protocol, mlflow_protocol
from steward.serving.protocols.calls import Call
from steward.serving.routing.routing_table import ActiveRoute, RoutingTable

log = logging.getLogger(__name__)

_TESTER_HEADER = b"x-steward-version"
_IDS_IN_HEADER = 20


class Asked(NamedTuple):
    """Which route a path is. `model` is None where the path names none; `version` where it leaves the choice to us."""

    inference_protocol: bool
    model: str | None
    version: str | None = None


class HotPath:
    """An ASGI application."""

    def __init__(
        self, answering: Answering, admission: Admission, table: RoutingTable, limits: Limits, others: AsgiApp
    ) -> None:
        self._answering, self._admission, self._table = answering, admission, table
        self._others = others
        self._body_bytes, self._body_seconds = limits.body_bytes, limits.body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = read_path(scope["path"]) if scope["type"] == "http" else None
        if asked is None:
            await self._others(scope, receive, send)
            return
        try:
            answer = await self._reply(asked, scope, receive)
        except StewardError as error:
            answer = self._admission.refusal(error, asked.model or "", scope["path"])
        except Exception:
            log.exception("unexpected fault at %s", scope["path"])
            answer = server_failed()
        await answer.send(send)

    async def _reply(self, asked: Asked, scope: Scope, receive: Receive) -> Reply:
        headers = dict(scope["headers"])
        self._admission.authorize(scope["path"], headers.get(b"authorization", b""))
        if scope["method"] != "POST":
            return _post_only(scope)
        model = asked.model or self._named_elsewhere(scope["query_string"])
        self._answering.route(model)  # before the body: one for nobody need not be read
        body = await read_body(receive, headers.get(b"content-length", b""), self._body_bytes, self._body_seconds)
        active = self._answering.route(model)  # again: while the body came, another epoch may have come into force
        wanted = asked.version or headers.get(_TESTER_HEADER)
        self._admission.enter(model, active.spec.deployment.max_in_flight)
        try:
            if wanted is not None:
                active = self._answering.for_tester(active, wanted)
            if asked.inference_protocol:
                return await self._infer(active, body, wanted)
            return await self._invoke(active, body, wanted, headers.get(b"content-type", b""))
        finally:
            self._admission.leave(model)

    async def _infer(self, active: ActiveRoute, body: bytes, wanted: str | bytes | None) -> Reply:
        call = inference_protocol.parse(body, active.contract.features)
        if call.outputs:
            inference_protocol.require_outputs(call, active.spec)
        result = await self._answering.answer(active, call, wanted)
        return Reply(200, orjson.dumps(inference_protocol.format_answer(active.route.model, call, result)))

    async def _invoke(self, active: ActiveRoute, body: bytes, wanted: str | bytes | None, content_type: bytes) -> Reply:
        call = mlflow_protocol.parse(body, content_type.decode("latin-1"), active.contract.features)
        result = await self._answering.answer(active, call, wanted)
        answer = orjson.dumps(mlflow_protocol.format_answer(call, result))
        return Reply(200, answer, _headers(active.route.model, call, result))

    def _named_elsewhere(self, query: bytes) -> str:
        """`?model=`, or the only model there is."""
        if query and (given := parse_qs(query.decode("latin-1")).get("model")):
            return given[-1]
        if len(models := self._table.models) == 1:
            return models[0]
        hint = f"POST /models/MODEL/invocations, with one of {', '.join(models[:20]) or 'none yet'}"
        raise RefusedRequestError("which model?", hint=hint, code="unknown_model", status=404)


def read_path(path: str) -> Asked | None:
    """None for a path that asks for no prediction."""
    match path.split("/"):
        case ["", "v2", "models", model, "infer"] if model:
            return Asked(True, model)
        case ["", "v2", "models", model, "versions", version, "infer"] if model and version:
            return Asked(True, model, version)
        case ["", "invocations"]:
            return Asked(False, None)
        case ["", "models", model, "invocations"] if model:
            return Asked(False, model)
    return None


def _post_only(scope: Scope) -> Reply:
    said = f"{scope['method']} {scope['path']}: Method Not Allowed"
    body = {"error": said, "code": "no_such_route", "hint": "POST it"}
    return reply(body, 405, ((b"allow", b"POST"),))


def _headers(model: str, call: Call, result: Result) -> tuple[tuple[bytes, bytes], ...]:
    """What MLflow's form of an answer has no place for."""
    said = [
        (b"x-steward-model", model.encode()),
        (b"x-steward-version", b"%d" % result.version),
        (b"x-steward-role", result.role.value.encode()),
    ]
    if call.rows <= _IDS_IN_HEADER and all(name.isascii() and name.isprintable() for name in call.decision_ids):
        said.append((b"x-steward-decision-ids", ",".join(call.decision_ids).encode()))
    return tuple(said)
