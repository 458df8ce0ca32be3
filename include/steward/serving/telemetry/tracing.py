"""Spans of requests, where OpenTelemetry is set in the environment; else nothing is imported and nothing is paid.

A request's span continues the caller's trace (W3C `traceparent`); inside are `check` and `predict`. No span holds what
a caller sent, nor the words of an exception: only its kind.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from steward import __version__
from steward.errors import RequestError, StewardError, UnavailableError
from steward.serving.answers.answering import Answering, Result
from steward.serving.answers.failures import RefusedRequestError, VersionFaultError
from steward.serving.http.hot_path import read_path
from steward.serving.http.replies import AsgiApp, Receive, Scope, Send
from steward.serving.telemetry import logs

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from steward.serving.answers.contract import Batch
    from steward.serving.protocols.calls import Call
    from steward.serving.routing.routing_table import ActiveRoute
    from steward.types import Role

_SERVICE = "steward-model-server"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def tracer_of(environment: Mapping[str, str] = os.environ) -> Tracer | None:
    """None unless OTEL_TRACES_EXPORTER or an OTLP endpoint is set. Raises UnavailableError without the SDK."""
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    wanted = exporter or any(environment.get(name) for name in _ENDPOINTS)
    if not wanted or exporter == "none" or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        return _tracer(exporter or "otlp", environment)
    except ImportError as error:
        hint = "install opentelemetry-sdk and opentelemetry-exporter-otlp, or set OTEL_TRACES_EXPORTER=none"
        said = f"traces are wanted and {error.name or 'a package'} is not installed"
        raise UnavailableError(said, where="OpenTelemetry", hint=hint) from error


def _tracer(exporter: str, environment: Mapping[str, str]) -> Tracer:
    """Sampling, limits and the resource are read by the SDK from its own variables."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": _SERVICE}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(_exporter(exporter, environment)))
    return provider.get_tracer("steward.serving", __version__)


def _exporter(name: str, environment: Mapping[str, str]) -> Any:
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if name != "otlp":
        raise RequestError(f"no exporter {name!r}", where="OTEL_TRACES_EXPORTER", hint="write otlp, console or none")
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc

        return grpc.OTLPSpanExporter()
    from opentelemetry.exporter.otlp.proto.http import trace_exporter as http

    return http.OTLPSpanExporter()


class TracedRequests:
    """An ASGI application around the one that answers; requests for predictions have a span, all others none."""

    def __init__(self, tracer: Tracer, inner: AsgiApp) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._tracer, self._inner = tracer, inner
        self._propagator = TraceContextTextMapPropagator()
        logs.trace_id = _current_trace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or read_path(scope["path"]) is None:
            await self._inner(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind

        carrier = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in (b"traceparent", b"tracestate")
        }
        about = {"http.request.method": scope["method"], "http.route": _route(scope["path"])}
        with self._tracer.start_as_current_span(
            f"{scope['method']} {about['http.route']}",
            self._propagator.extract(carrier),
            SpanKind.SERVER,
            about,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            await self._inner(scope, receive, _noting_status(send, span))


def _route(path: str) -> str:
    """With the model's name left out, which is an attribute: names of spans must be few."""
    parts = path.split("/")
    if "models" in parts:
        parts[parts.index("models") + 1] = "{model}"
    if "versions" in parts:
        parts[parts.index("versions") + 1] = "{version}"
    return "/".join(parts)


def _noting_status(send: Send, span: Span) -> Send:
    from opentelemetry.trace import Status, StatusCode

    async def noted(message: Any) -> None:
        if message["type"] == "http.response.start":
            span.set_attribute("http.response.status_code", message["status"])
            if message["status"] >= 500:
                span.set_status(Status(StatusCode.ERROR))
        await send(message)

    return noted


class TracedAnswering(Answering):
    def __init__(self, tracer: Tracer, *given: Any) -> None:
        super().__init__(*given)
        self._tracer = tracer

    async def answer(self, active: ActiveRoute, call: Call, wanted: str | bytes | None = None) -> Result:
        from opentelemetry.trace import get_current_span

        span = get_current_span()
        span.set_attribute("steward.model", active.route.model)
        span.set_attribute("steward.epoch", active.route.epoch)
        span.set_attribute("steward.rows", call.rows)
        span.set_attribute("steward.decision_id", call.decision_ids[0])
        with _kind_noted(span):
            result = await super().answer(active, call, wanted)
        span.set_attribute("steward.version", result.version)
        span.set_attribute("steward.role", result.role.value)
        return result

    def _check(self, active: ActiveRoute, call: Call) -> Batch:
        with self._span("check"):
            return super()._check(active, call)

    async def _by_champion(self, active: ActiveRoute, call: Call, batch: Batch, started: float) -> Result:
        number = active.route.champion
        with self._span("predict", {"steward.version": number or 0, "steward.role": "champion"}):
            return await super()._by_champion(active, call, batch, started)

    async def _by_other(
        self, active: ActiveRoute, number: int, role: Role, call: Call, batch: Batch, started: float
    ) -> Result:
        with self._span("predict", {"steward.version": number, "steward.role": role.value}):
            return await super()._by_other(active, number, role, call, batch, started)

    @contextmanager
    def _span(self, name: str, about: dict[str, Any] | None = None) -> Iterator[None]:
        with (
            self._tracer.start_as_current_span(
                name, attributes=about, record_exception=False, set_status_on_exception=False
            ) as span,
            _kind_noted(span),
        ):
            yield


@contextmanager
def _kind_noted(span: Span) -> Iterator[None]:
    """The kind of what goes wrong; its words may quote the request."""
    try:
        yield
    except RefusedRequestError as error:
        span.set_attribute("error.type", error.code)
        raise
    except VersionFaultError as error:
        span.set_attribute("error.type", error.kind)
        raise
    except StewardError as error:
        span.set_attribute("error.type", type(error).__name__)
        raise


def _current_trace() -> str | None:
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None
