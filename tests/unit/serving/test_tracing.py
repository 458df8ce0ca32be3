"""Spans of a real server, kept in memory; and nothing at all where nobody asked for them."""

from __future__ import annotations

import builtins
import io
import json
import logging
import subprocess
import sys
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from steward.errors import RequestError, UnavailableError
from steward.rollout.routing import choose
from steward.serving.http import app
from steward.serving.telemetry import logs, tracing
from steward.spec import ModelSpec
from steward.types import Role

from .conftest import MODEL, ROW, Stack, make_estimator, not_a_number_estimator, ready, tensors

INFER = f"/v2/models/{MODEL}/infer"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLER = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(app, "tracer_of", lambda: provider.get_tracer("test"))
    monkeypatch.setattr(logs, "trace_id", lambda: None)
    return exporter


@pytest.fixture
def traced(stack: Stack, spec: ModelSpec, spans: InMemorySpanExporter) -> TestClient:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.register(spec, 2, not_a_number_estimator())
    stack.sources.route(MODEL, champion=1, canary=2, percent=50)
    client = ready(stack.start())
    spans.clear()
    return client


def told(spans: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    found: dict[str, list[ReadableSpan]] = {}
    for span in spans.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def key_of(stack: Stack, role: Role) -> str:
    """A key that this role answers."""
    return next(key for key in map(str, range(100)) if choose(stack.sources.table[MODEL], key)[1] is role)


def test_a_request_continues_the_callers_trace(stack: Stack, traced: TestClient, spans: InMemorySpanExporter) -> None:
    body = {**tensors(ROW, key=key_of(stack, Role.CHAMPION)), "id": "d-1"}
    assert traced.post(INFER, json=body, headers=CALLER).status_code == 200
    found = told(spans)
    (request,), (check,), (predict,) = found["POST /v2/models/{model}/infer"], found["check"], found["predict"]
    assert request.parent is not None
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    assert check.parent == predict.parent == request.context
    about = attributes(request)
    assert (about["steward.model"], about["steward.version"], about["steward.role"]) == (MODEL, 1, "champion")
    assert (about["steward.decision_id"], about["steward.rows"], about["steward.epoch"]) == ("d-1", 1, 1)
    assert (about["http.request.method"], about["http.response.status_code"]) == ("POST", 200)
    assert attributes(predict) == {"steward.version": 1, "steward.role": "champion"}


def test_a_canary_that_failed_and_the_champion_that_answered(
    stack: Stack, traced: TestClient, spans: InMemorySpanExporter
) -> None:
    assert traced.post(INFER, json=tensors(ROW, key=key_of(stack, Role.CANARY))).status_code == 200
    canary, champion = told(spans)["predict"]
    assert attributes(canary)["error.type"] == "not_finite"
    assert attributes(champion) == {"steward.version": 1, "steward.role": "champion"}


def test_a_refusal_names_its_kind_and_no_value(traced: TestClient, spans: InMemorySpanExporter) -> None:
    answer = traced.post(INFER, json=tensors({**ROW, "distance": "planted-secret"}))
    assert answer.status_code == 400
    (request,) = told(spans)["POST /v2/models/{model}/infer"]
    assert attributes(request)["http.response.status_code"] == 400
    written = "".join(span.to_json() for span in spans.get_finished_spans())
    assert attributes(request)["error.type"] == answer.json()["code"]
    assert "planted-secret" not in written


def test_both_protocols_have_spans_and_health_has_none(traced: TestClient, spans: InMemorySpanExporter) -> None:
    traced.get("/v2/health/live")
    traced.get("/metrics")
    assert not spans.get_finished_spans()
    traced.post("/invocations", json={"dataframe_records": [ROW]})
    traced.post(f"/models/{MODEL}/invocations", json={"dataframe_records": [ROW]})
    assert {"POST /invocations", "POST /models/{model}/invocations"} <= set(told(spans))


def test_the_log_names_the_trace(stack: Stack, traced: TestClient) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonLines())
    log = logging.getLogger("steward.serving.answers.answering")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        traced.post(INFER, json={**tensors(ROW, key=key_of(stack, Role.CANARY)), "id": "d-2"}, headers=CALLER)
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["trace_id"], line["decision_id"], line["version"], line["epoch"]) == (TRACE, "d-2", 2, 1)
    assert line["message"] == "flight_delays@2 could not answer: not_finite"


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_nobody_asked_is_no_tracer(environment: dict[str, str]) -> None:
    assert tracing.tracer_of(environment) is None


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_EXPORTER": "console"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ],
)
def test_whoever_asks_gets_one(environment: dict[str, str]) -> None:
    assert tracing.tracer_of(environment) is not None


def test_an_exporter_nobody_knows_is_refused() -> None:
    with pytest.raises(RequestError, match="no exporter 'jaeger'"):
        tracing.tracer_of({"OTEL_TRACES_EXPORTER": "jaeger"})


def test_a_missing_sdk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without_sdk(name: str, *rest: Any) -> Any:
        if name.startswith("opentelemetry.sdk"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_sdk)
    with pytest.raises(UnavailableError, match=r"opentelemetry\.sdk\S* is not installed"):
        tracing.tracer_of({"OTEL_TRACES_EXPORTER": "console"})


def test_unasked_nothing_of_it_is_imported() -> None:
    code = "import sys, steward.serving.http.app; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
