"""Prometheus metrics of one server. Labels are model, version, role (and the kind of an error), nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from steward.serving.process.slots import Slot
from steward.serving.telemetry.shared_metrics import SharedMetrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # the instant each series began: nobody asks, and there is one for every other line

_ARM = ("model", "version", "role")
_ROWS = (2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class ArmMetrics(NamedTuple):
    """The children of one version in one role, looked up once."""

    requests: Any
    rows: Any
    seconds: Any
    batch: Any


class ServerMetrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._text: Callable[[], bytes] = lambda: generate_latest(self.registry)
        self._requests = self._counter("steward_requests", "Requests a version was asked to answer", _ARM)
        self._rows = self._counter("steward_prediction_rows", "Rows a version answered", _ARM)
        self._errors = self._counter("steward_request_errors", "Requests refused or failed", (*_ARM, "kind"))
        self._lost = self._counter("steward_prediction_log_lost", "Prediction rows that were never stored", ("model",))
        self._unseen = self._counter("steward_unseen_levels", "Category values the spec does not list", ("model",))
        self._trips = self._counter(
            "steward_canary_trips", "Canaries this server took off traffic", ("model", "version")
        )
        self._dropped = self._counter(
            "steward_shadow_dropped", "Copies of requests that found no room", ("model", "version")
        )
        self._differed = self._counter(
            "steward_shadow_differed", "Rows a shadow decided otherwise than the champion", ("model", "version")
        )
        self._seconds = Histogram(
            "steward_request_duration_seconds", "Model call and checks", _ARM, buckets=_SECONDS, registry=self.registry
        )
        self._batch = Histogram(
            "steward_batch_rows",
            "Rows of requests that have more than one",
            _ARM,
            buckets=_ROWS,
            registry=self.registry,
        )
        self._epoch = Gauge("steward_route_epoch", "Epoch of the table in force", ["model"], registry=self.registry)
        self.arm = lru_cache(maxsize=1024)(self._arm)

    def failed(self, model: str, version: int | str, role: str, kind: str) -> None:
        self._errors.labels(model, str(version), role, kind).inc()

    def lost(self, model: str, rows: int) -> None:
        self._lost.labels(model).inc(rows)

    def unseen(self, model: str, values: int) -> None:
        self._unseen.labels(model).inc(values)

    def tripped(self, model: str, version: int) -> None:
        self._trips.labels(model, str(version)).inc()

    def shadow_dropped(self, model: str, version: int) -> None:
        self._dropped.labels(model, str(version)).inc()

    def shadow_differed(self, model: str, version: int, rows: int) -> None:
        self._differed.labels(model, str(version)).inc(rows)

    def routed(self, model: str, epoch: int) -> None:
        self._epoch.labels(model).set(epoch)

    def watch_pending(self, pending: Callable[[], float]) -> None:
        gauge = Gauge("steward_prediction_log_pending_rows", "Rows not stored yet", registry=self.registry)
        gauge.set_function(pending)

    def share(self, slot: Slot, address: str) -> SharedMetrics:
        """From now on `text` adds what the other servers of the address have counted."""
        shared = SharedMetrics(self.registry, slot, address)
        self._text = shared.text
        return shared

    def text(self) -> bytes:
        return self._text()

    def _counter(self, name: str, help_: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, help_, labels, registry=self.registry)

    def _arm(self, model: str, version: int, role: str) -> ArmMetrics:
        labels = (model, str(version), role)
        families = (self._requests, self._rows, self._seconds, self._batch)
        return ArmMetrics(*(family.labels(*labels) for family in families))
