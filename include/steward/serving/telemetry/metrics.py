"""Prometheus metrics of one server. Labels are model, version, role (and the kind of an error), nothing else."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from steward.serving.process.slots import Slot
from steward.serving.telemetry.shared_metrics import SharedMetrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # the instant each series began: nobody asks, and there is one for every other line

_ARM = ("model", "version", "role")
_ROWS = (2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Tally:
    """What one version did in one role, counted without locks: a request pays for additions alone.

    For the one thread that answers; a shadow has a tally of its own. A scrape may see a request half counted.
    """

    __slots__ = ("by_rows", "by_seconds", "in_batches", "requests", "rows", "seconds")

    def __init__(self) -> None:
        self.requests = self.rows = self.in_batches = 0
        self.seconds = 0.0
        self.by_seconds, self.by_rows = [0] * (len(_SECONDS) + 1), [0] * (len(_ROWS) + 1)

    def asked(self, seconds: float) -> None:
        self.requests += 1
        self.seconds += seconds
        self.by_seconds[bisect_left(_SECONDS, seconds)] += 1

    def answered(self, rows: int) -> None:
        self.rows += rows
        if rows > 1:
            self.in_batches += rows
            self.by_rows[bisect_left(_ROWS, rows)] += 1


class _Tallies(Collector):
    """Tallies as families, when somebody looks."""

    def __init__(self, tallies: dict[tuple[str, int, str], Tally]) -> None:
        self._tallies = tallies

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily("steward_requests", "Requests a version was asked to answer", labels=_ARM)
        rows = CounterMetricFamily("steward_prediction_rows", "Rows a version answered", labels=_ARM)
        seconds = HistogramMetricFamily("steward_request_duration_seconds", "Model call and checks", labels=_ARM)
        batch = HistogramMetricFamily("steward_batch_rows", "Rows of requests that have more than one", labels=_ARM)
        for (model, version, role), tally in sorted(self._tallies.copy().items()):
            arm = (model, str(version), role)
            requests.add_metric(arm, tally.requests)
            rows.add_metric(arm, tally.rows)
            seconds.add_metric(arm, _buckets(_SECONDS, tally.by_seconds), tally.seconds)
            batch.add_metric(arm, _buckets(_ROWS, tally.by_rows), tally.in_batches)
        yield from (requests, rows, seconds, batch)

    def describe(self) -> list[Metric]:
        return []


def _buckets(bounds: Sequence[float], counts: list[int]) -> list[tuple[str, float]]:
    """Cumulative, as Prometheus wants them."""
    names = [*map(floatToGoString, bounds), "+Inf"]
    return list(zip(names, accumulate(counts), strict=True))


class ServerMetrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._text: Callable[[], bytes] = lambda: generate_latest(self.registry)
        self._tallies: dict[tuple[str, int, str], Tally] = {}
        self.registry.register(_Tallies(self._tallies))
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
        self._epoch = Gauge("steward_route_epoch", "Epoch of the table in force", ["model"], registry=self.registry)

    def tally(self, model: str, version: int, role: str) -> Tally:
        key = (model, version, role)
        return self._tallies.get(key) or self._tallies.setdefault(key, Tally())

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
