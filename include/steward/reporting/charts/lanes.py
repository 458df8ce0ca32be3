"""What lasted how long, lane by lane: versions that served, troubles that were open, and single moments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from steward.reporting.charts.svg import box, dot, line, picture, shortened, text

LABEL, PLOT, RIGHT = 130.0, 700.0, 20.0
TOP, LANE, AXIS = 6.0, 22.0, 26.0


@dataclass(frozen=True)
class Span:
    """Open at its end where it still goes on. `kind`: good, bad, wait or quiet."""

    start: datetime
    end: datetime | None
    kind: str
    said: str


@dataclass(frozen=True)
class Moment:
    at: datetime
    kind: str
    said: str


@dataclass(frozen=True)
class Lane:
    name: str
    spans: Sequence[Span] = ()
    moments: Sequence[Moment] = field(default=())


@dataclass(frozen=True)
class _Time:
    first: datetime
    last: datetime

    def x(self, at: datetime) -> float:
        share = (at - self.first) / (self.last - self.first)
        return LABEL + PLOT * min(1.0, max(0.0, share))


def lanes_chart(lanes: Sequence[Lane], first: datetime, last: datetime, title: str) -> str:
    """From `first` to `last`; what began before is cut. Empty without lanes."""
    shown = [lane for lane in lanes if lane.spans or lane.moments]
    if not shown:
        return ""
    time = _Time(first, max(last, first + timedelta(hours=1)))
    bottom = TOP + LANE * len(shown)
    rows = [part for place, lane in enumerate(shown) for part in _lane(lane, time, TOP + LANE * (place + 0.5))]
    return picture(title, bottom + AXIS, [*_axis(time, bottom), *rows], LABEL + PLOT + RIGHT)


def _axis(time: _Time, bottom: float) -> Iterator[str]:
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        at = time.first + (time.last - time.first) * share
        yield line("grid", time.x(at), TOP, time.x(at), bottom)
        anchor = {0.0: "start", 1.0: "end"}.get(share, "middle")
        yield text(time.x(at), bottom + 17, f"{at:%Y-%m-%d}", anchor)


def _lane(lane: Lane, time: _Time, y: float) -> Iterator[str]:
    yield text(LABEL - 10, y + 4, shortened(lane.name, 18), "end", lane.name)
    yield line("grid", LABEL, y, LABEL + PLOT, y)
    for span in lane.spans:
        if span.end is not None and span.end < time.first:
            continue
        left, right = time.x(span.start), time.x(span.end or time.last)
        yield box(f"span {span.kind}", left, y - 6, max(right - left, 3.0), 12, span.said)
    for moment in lane.moments:
        if time.first <= moment.at <= time.last:
            yield dot(f"moment {moment.kind}", time.x(moment.at), y, moment.said, 5)
