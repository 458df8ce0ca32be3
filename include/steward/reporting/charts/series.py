"""A value over time: its limits, what it is compared with, where nothing could be judged, and what happened when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from steward.reporting.charts.svg import box, dot, line, picture, text

LEFT, PLOT, RIGHT = 52.0, 720.0, 92.0
TOP, HEIGHT, AXIS = 20.0, 170.0, 24.0
BOTTOM = TOP + HEIGHT
A_GAP = 1.5  # times the usual distance between points: what lies between was not looked at
FEW = 45  # points up to which each shows its interval


@dataclass(frozen=True)
class Point:
    """Without a value it is a gap, and `said` tells why. `kind`: good, bad or unsure."""

    at: datetime
    value: float | None
    kind: str = "good"
    said: str = ""
    lower: float | None = None
    upper: float | None = None
    baseline: float | None = None
    limits: tuple[float, ...] = ()


@dataclass(frozen=True)
class Mark:
    """Something that happened: a dashed line with a word at its head."""

    at: datetime
    label: str
    said: str = ""


@dataclass(frozen=True)
class _Frame:
    """Instants on the width, values on the height."""

    first: datetime
    last: datetime
    low: float
    high: float

    @classmethod
    def around(cls, points: Sequence[Point]) -> _Frame:
        values = [v for p in points for v in (p.value, p.baseline, *p.limits) if v is not None]
        spread = (max(values) - min(values)) or 0.1 * abs(values[0]) or 1.0
        first, last = points[0].at, points[-1].at
        return cls(
            first, max(last, first + timedelta(hours=1)), min(values) - spread * 0.12, max(values) + spread * 0.12
        )

    def x(self, at: datetime) -> float:
        return LEFT + PLOT * ((at - self.first) / (self.last - self.first))

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return BOTTOM - HEIGHT * min(1.0, max(0.0, share))


def series_chart(points: Sequence[Point], marks: Sequence[Mark], title: str) -> str:
    """Ascending points. Empty without a single value."""
    if not any(point.value is not None for point in points):
        return ""
    frame = _Frame.around(points)
    parts = [
        *_grid(frame),
        *_days(frame, points),
        *_gaps(frame, points),
        *_marks(frame, marks),
        *_baseline(frame, points),
        *_limits(frame, points),
        *_values(frame, points),
        *_names(frame, points),
    ]
    return picture(title, BOTTOM + AXIS, parts, LEFT + PLOT + RIGHT)


def _grid(frame: _Frame) -> Iterator[str]:
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = frame.low + (frame.high - frame.low) * share
        yield line("grid", LEFT, frame.y(value), LEFT + PLOT, frame.y(value))
        yield text(LEFT - 6, frame.y(value) + 4, f"{value:.3g}", "end")


def _days(frame: _Frame, points: Sequence[Point]) -> Iterator[str]:
    """Of five points at most, the first and the last among them."""
    last = len(points) - 1
    for place in dict.fromkeys(round(last * share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)):
        anchor = "start" if place == 0 else "end" if place == last else "middle"
        yield text(frame.x(points[place].at), BOTTOM + 17, f"{points[place].at:%Y-%m-%d}", anchor)


def _gaps(frame: _Frame, points: Sequence[Point]) -> Iterator[str]:
    """A tinted band as wide as one step, over every point that was not judged."""
    width = max(3.0, PLOT / max(len(points) - 1, 1))
    for point in points:
        if point.value is None:
            left, right = max(LEFT, frame.x(point.at) - width / 2), min(LEFT + PLOT, frame.x(point.at) + width / 2)
            yield box("gapped", left, TOP, max(right - left, 2.0), HEIGHT, point.said)


def _marks(frame: _Frame, marks: Iterable[Mark]) -> Iterator[str]:
    for mark in marks:
        if frame.first <= mark.at <= frame.last:
            x = frame.x(mark.at)
            yield line("event", x, TOP - 4, x, BOTTOM, mark.said or mark.label)
            yield text(
                x, TOP - 8, mark.label, "end" if x > LEFT + PLOT - 30 else "start" if x < LEFT + 30 else "middle"
            )


def _baseline(frame: _Frame, points: Sequence[Point]) -> Iterator[str]:
    yield from (_path("base", frame, run) for run in _runs((p.at, p.baseline) for p in points))


def _limits(frame: _Frame, points: Sequence[Point]) -> Iterator[str]:
    for place in range(max((len(p.limits) for p in points), default=0)):
        known = ((p.at, p.limits[place] if place < len(p.limits) else None) for p in points)
        yield from (_path("limit", frame, run) for run in _runs(known))


def _values(frame: _Frame, points: Sequence[Point]) -> Iterator[str]:
    usual = _usual_step(points)
    yield from (_path("line", frame, run) for run in _runs(((p.at, p.value) for p in points), usual * A_GAP))
    for point in points:
        if point.value is None:
            continue
        x = frame.x(point.at)
        if point.lower is not None and point.upper is not None and len(points) <= FEW:
            yield line("interval", x, frame.y(point.lower), x, frame.y(point.upper))
        yield dot(
            {"bad": "dot bad", "unsure": "dot unsure"}.get(point.kind, "dot"), x, frame.y(point.value), point.said, 3
        )


def _names(frame: _Frame, points: Sequence[Point]) -> Iterator[str]:
    """The last limit and baseline, beside the plot; a limit keeps its place when they would overlap."""
    last = next(p for p in reversed(points) if p.value is not None)
    taken: list[float] = []
    told = [("limit", each) for each in last.limits] + (
        [("before", last.baseline)] if last.baseline is not None else []
    )
    for name, value in told:
        y = frame.y(value) + 4
        while any(abs(y - other) < 13 for other in taken):
            y += 13
        taken.append(y)
        yield text(LEFT + PLOT + 6, y, f"{name} {value:.3g}")


def _runs(
    values: Iterable[tuple[datetime, float | None]], longest: timedelta | None = None
) -> Iterator[list[tuple[datetime, float]]]:
    """Stretches without a gap."""
    run: list[tuple[datetime, float]] = []
    for at, value in values:
        broken = value is None or (run and longest is not None and at - run[-1][0] > longest)
        if broken and run:
            yield run
            run = []
        if value is not None:
            run.append((at, value))
    if run:
        yield run


def _path(kind: str, frame: _Frame, run: Sequence[tuple[datetime, float]]) -> str:
    if len(run) == 1:
        x, y = frame.x(run[0][0]), frame.y(run[0][1])
        return line(kind, x - 5, y, x + 5, y) if kind != "line" else ""
    places = " ".join(f"{frame.x(at):.1f},{frame.y(value):.1f}" for at, value in run)
    return f'<polyline class="{kind}" points="{places}"/>'


def _usual_step(points: Sequence[Point]) -> timedelta:
    steps = [(after.at - before.at).total_seconds() for before, after in pairwise(points)]
    return timedelta(seconds=median(steps)) if steps else timedelta.max / 4
