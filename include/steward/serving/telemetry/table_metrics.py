"""What is in force and in memory, counted when somebody looks: a request pays nothing for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client.core import GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from steward.types import Role

if TYPE_CHECKING:
    from steward.serving.log.recorder import PredictionRecorder
    from steward.serving.memory.versions import LoadedVersion
    from steward.serving.routing.routing_table import ActiveRoute, RoutingTable

_VERSION = ("model", "version")
_DIGITS = 12  # of a digest: enough to tell two apart


class TableMetrics(Collector):
    """`in_flight`: requests by model."""

    def __init__(
        self, table: RoutingTable, in_flight: Callable[[], dict[str, int]], recorder: PredictionRecorder
    ) -> None:
        self._table, self._in_flight, self._recorder = table, in_flight, recorder

    def collect(self) -> Iterator[Metric]:
        routes = [active for _, active in sorted(self._table.active.items())]
        yield from _of_versions(routes)
        yield from _of_routes(routes)
        missing = _gauge("steward_champion_missing", "Servers that cannot load the champion of the route", _VERSION)
        for _, ref in sorted(self._table.missing.items()):
            missing.add_metric([ref.model, str(ref.number)], 1)
        yield missing
        in_flight = _gauge("steward_requests_in_flight", "Requests that are being answered", ("model",))
        for model, count in sorted(self._in_flight().items()):
            in_flight.add_metric([model], count)
        yield in_flight
        up = self._table.unreachable_since is None
        yield _plain("steward_control_plane_up", "Whether routes could be read at the last try", up)
        stored = self._recorder.failing_since is None
        yield _plain("steward_prediction_log_up", "Whether predictions could be stored at the last try", stored)
        yield SummaryMetricFamily(
            "steward_prediction_log_flush_seconds",
            "Handing waiting predictions to the store",
            count_value=self._recorder.flushes,
            sum_value=self._recorder.flush_seconds,
        )

    def describe(self) -> list[Metric]:
        """Nothing is asked when it is registered: the table is empty then."""
        return []


def _of_versions(routes: list[ActiveRoute]) -> Iterator[Metric]:
    labels = (*_VERSION, "role", "runtime", "digest")
    info = _gauge("steward_version_info", "Servers that have the version in memory", labels)
    memory = _gauge("steward_version_memory_bytes", "What the version takes in memory, estimated", _VERSION)
    in_use = _gauge("steward_version_in_use", "Calls of the version in threads of their own", _VERSION)
    for role, version in (each for active in routes for each in _loaded(active)):
        name = [version.ref.model, str(version.ref.number)]
        info.add_metric([*name, role, version.runtime, version.digest[:_DIGITS]], 1)
        memory.add_metric(name, version.memory_bytes)
        in_use.add_metric(name, version.in_flight)
    yield from (info, memory, in_use)


def _of_routes(routes: list[ActiveRoute]) -> Iterator[Metric]:
    percent = _gauge("steward_route_percent", "Percent of request keys that a role answers", (*_VERSION, "role"))
    tripped = _gauge("steward_canary_off", "Servers that took the canary in force off traffic", _VERSION)
    for active in routes:
        route, off = active.route, active.breaker.tripped
        share = 0 if off or route.canary is None else route.percent
        named = [(route.champion, Role.CHAMPION, 100 - share), (route.canary, Role.CANARY, share)]
        for number, role, of_keys in named:
            if number is not None:
                percent.add_metric([route.model, str(number), role.value], of_keys)
        if route.canary is not None:
            tripped.add_metric([route.model, str(route.canary)], float(off))
    yield from (percent, tripped)


def _loaded(active: ActiveRoute) -> Iterator[tuple[str, LoadedVersion]]:
    """Each version once, by the first of its roles."""
    named = (
        ("champion", active.champion),
        ("canary", active.canary),
        ("shadow", active.shadow),
        ("standby", active.standby),
    )
    seen: set[int] = set()
    for role, version in named:
        if version is not None and version.ref.number not in seen:
            seen.add(version.ref.number)
            yield role, version


def _gauge(name: str, about: str, labels: tuple[str, ...]) -> Any:
    return GaugeMetricFamily(name, about, labels=labels)


def _plain(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value=float(value))
