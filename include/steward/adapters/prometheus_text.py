"""The estate's figures in Prometheus' text form, once or for whoever scrapes."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from steward.errors import StewardError
from steward.reporting.figures import FIGURES, Figure, Figures, Kind

if TYPE_CHECKING:
    from prometheus_client.core import Metric

UP = "steward_record_up"


def to_text(figures: Figures | None) -> bytes:
    """None: the record could not be read, and nothing is told but that."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(_Moment(figures))
    return generate_latest(registry)


class _Moment:
    def __init__(self, figures: Figures | None) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        up = GaugeMetricFamily(UP, "1 while the record of the control plane can be read")
        up.add_metric([], self._figures is not None)
        yield up
        if self._figures is not None:
            for figure in FIGURES:
                yield _family(figure, self._figures.values[figure.name])


def _family(figure: Figure, values: dict[tuple[str, ...], float]) -> Metric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kind: Any = CounterMetricFamily if figure.kind is Kind.COUNTER else GaugeMetricFamily
    family: Metric = kind(figure.name.removesuffix("_total"), figure.says, labels=figure.labels)
    for labels, value in sorted(values.items()):
        family.add_metric(list(labels), value)  # type: ignore[attr-defined]
    return family


def exporter(measure: Callable[[], Figures], host: str, port: int, token: str | None) -> WSGIServer:
    """Answers `GET /metrics`; port 0 takes a free one. Not started: call `serve_forever`.

    With a token, only who sends it as a bearer is answered.
    """

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        status, body = _response(environ, measure, token)
        start(status, [("Content-Type", "text/plain; version=0.0.4; charset=utf-8"), ("Cache-Control", "no-store")])
        return [body]

    return make_server(host, port, answer, handler_class=_Quiet)


def _response(environ: dict[str, Any], measure: Callable[[], Figures], token: str | None) -> tuple[str, bytes]:
    given = environ.get("HTTP_AUTHORIZATION", "")
    if token is not None and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        return "401 Unauthorized", b"send the token as a bearer\n"
    if environ["PATH_INFO"] != "/metrics" or environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return "404 Not Found", b"GET /metrics is all there is\n"
    try:
        return "200 OK", to_text(measure())
    except StewardError:
        return "200 OK", to_text(None)


class _Quiet(WSGIRequestHandler):
    timeout = 10  # seconds; a scraper that says nothing must not hold the one thread

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is no news."""
