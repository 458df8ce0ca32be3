"""What /metrics tells, held against the page that promises it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from steward.spec import ModelSpec

from .conftest import MODEL, ROW, Stack, at_epoch, make_estimator, not_a_number_estimator, ready, tensors, wait_until

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
INFER = f"/v2/models/{MODEL}/infer"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def families(client: TestClient) -> dict[str, Any]:
    return {family.name: family for family in text_string_to_metric_families(client.get("/metrics").text)}


def value(client: TestClient, name: str, **labels: str) -> float | None:
    """Of the one sample with at least these labels; None when there is none."""
    found = [
        sample.value
        for family in families(client).values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    assert len(found) < 2, f"{name} is there {len(found)} times for {labels}"
    return found[0] if found else None


@pytest.fixture
def released(stack: Stack, spec: ModelSpec) -> TestClient:
    """A champion, and a canary that answers half of the keys."""
    for number in (1, 2):
        stack.sources.register(spec, number, make_estimator())
    stack.sources.route(MODEL, champion=1, canary=2, percent=50)
    return ready(stack.start())


def documented() -> dict[str, tuple[str, list[str]]]:
    """Name to type and labels, from the table of the page."""
    rows = re.findall(r"^\| `(steward_\w+)` \| (\w+) \| ([^|]*)\|", PAGE.read_text(), re.MULTILINE)
    return {name: (kind, re.findall(r"`(\w+)`", labels)) for name, kind, labels in rows}


def test_the_page_names_every_family_with_its_type_and_labels(released: TestClient) -> None:
    for key in map(str, range(20)):
        released.post(INFER, json=tensors(ROW, ROW, key=key))
    released.post(INFER, json=tensors({**ROW, "carrier": "ZZ"}))
    released.post(INFER, content=b"{")
    promised, found = documented(), families(released)
    told = {f"{name}_total" if family.type == "counter" else name: family for name, family in found.items()}
    assert set(told) == set(promised)
    for name, family in told.items():
        kind, labels = promised[name]
        assert family.type == kind, name
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(labels), name


def test_versions_routes_and_what_they_answered(released: TestClient) -> None:
    for key in map(str, range(30)):
        assert released.post(INFER, json=tensors(ROW, ROW, ROW, key=key)).status_code == 200
    by_role = {"champion": "1", "canary": "2"}
    for role, version in by_role.items():
        arm = {"model": MODEL, "version": version, "role": role}
        requests = value(released, "steward_requests_total", **arm)
        assert requests
        assert value(released, "steward_prediction_rows_total", **arm) == 3 * requests
        assert value(released, "steward_batch_rows_count", **arm) == requests
        assert value(released, "steward_route_percent", **arm) == 50
        assert value(released, "steward_version_info", runtime="scikit-learn", **arm) == 1
        assert value(released, "steward_version_memory_bytes", model=MODEL, version=version)
    assert value(released, "steward_requests_in_flight", model=MODEL) == 0
    assert value(released, "steward_control_plane_up") == value(released, "steward_prediction_log_up") == 1
    wait_until(lambda: value(released, "steward_prediction_log_pending_rows") == 0)
    assert value(released, "steward_prediction_log_flush_seconds_count")


def test_a_canary_that_was_taken_off_is_seen(stack: Stack, spec: ModelSpec) -> None:
    stack.sources.register(spec, 1, make_estimator())
    stack.sources.register(spec, 2, not_a_number_estimator())
    stack.sources.route(MODEL, champion=1, canary=2, percent=50)
    client = ready(stack.start())
    for key in map(str, range(60)):
        assert client.post(INFER, json=tensors(ROW, key=key)).status_code == 200
    assert value(client, "steward_canary_off", model=MODEL, version="2") == 1
    assert value(client, "steward_route_percent", model=MODEL, version="2") == 0
    assert value(client, "steward_route_percent", model=MODEL, version="1") == 100
    failed = {"model": MODEL, "version": "2", "role": "canary", "kind": "not_finite"}
    assert (value(client, "steward_request_errors_total", **failed) or 0) >= 3


def test_what_is_away_is_seen(stack: Stack, served: TestClient) -> None:
    stack.sources.away = True
    stack.log.away = True
    served.post(INFER, json=tensors(ROW))
    wait_until(lambda: value(served, "steward_control_plane_up") == 0)
    wait_until(lambda: value(served, "steward_prediction_log_up") == 0)
    stack.sources.away = stack.log.away = False
    wait_until(lambda: value(served, "steward_control_plane_up") == 1)


def test_a_version_that_left_is_no_longer_told(stack: Stack, spec: ModelSpec, released: TestClient) -> None:
    stack.sources.route(MODEL, champion=2)
    at_epoch(released, 2)
    assert value(released, "steward_version_info", version="1") is None
    assert value(released, "steward_version_info", version="2", role="champion") == 1


def test_a_caller_cannot_make_labels(released: TestClient) -> None:
    released.post("/v2/models/made_up/infer", json=tensors(ROW))
    released.post(INFER, json=tensors(ROW, source="made_up", key="made_up"))
    assert "made_up" not in released.get("/metrics").text
