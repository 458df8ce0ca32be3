"""Values beside each other: intervals, bars, and predicted against seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steward.reporting.charts.svg import picture, shortened, text

LABEL, PLOT, VALUE, ROW = 190.0, 420.0, 150.0, 22.0
TOP = 8.0
AXIS = 26.0


@dataclass(frozen=True)
class Bar:
    """One line of an interval chart; without a value only its name and what is said of it."""

    name: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    said: str = ""
    emphasis: bool = False


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` on the width of the plot."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Scale:
        low, high = min(values, default=0.0), max(values, default=1.0)
        margin = (high - low) * 0.08 or 0.05 * max(abs(high), 1.0)
        return cls(low - margin, high + margin)

    def x(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return LABEL + PLOT * min(1.0, max(0.0, share))


def interval_chart(bars: Sequence[Bar], title: str, limit: float | None = None, scale: Scale | None = None) -> str:
    """A dot per row with its interval; a dashed line marks the limit."""
    numbers = [n for bar in bars for n in (bar.value, bar.lower, bar.upper) if n is not None]
    if not numbers:
        return ""
    scale = scale or Scale.of([*numbers, *([limit] if limit is not None else [])])
    height = TOP + ROW * len(bars) + AXIS
    rows = [_interval(bar, scale, TOP + ROW * (place + 0.5)) for place, bar in enumerate(bars)]
    return _svg(title, height, [*_axis(scale, height - AXIS), *_limit(limit, scale, height - AXIS), *rows])


def bar_chart(bars: Sequence[Bar], title: str) -> str:
    """Bars from zero; what a metric loses without a feature may be a little below it."""
    numbers = [bar.value for bar in bars if bar.value is not None]
    if not numbers:
        return ""
    scale = Scale(min(0.0, *numbers) * 1.08, max(0.0, *numbers) * 1.08 or 1.0)
    height = TOP + ROW * len(bars) + AXIS
    rows = [_bar(bar, scale, TOP + ROW * (place + 0.5)) for place, bar in enumerate(bars)]
    return _svg(title, height, [*_axis(scale, height - AXIS), *rows])


def calibration_chart(points: Sequence[tuple[float, float, int]], title: str) -> str:
    """Predicted against seen; on the dashed diagonal a score means what it says. `points`: predicted, seen, rows."""
    if not points:
        return ""
    side, left = 240.0, 46.0
    top = max(max(predicted, seen) for predicted, seen, _ in points) or 1.0
    place = [(left + side * p / top, TOP + side * (1 - s / top), p, s, n) for p, s, n in points]
    dots = [
        f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>predicted {p:.3g}, seen {s:.3g}, {n} rows</title>'
        "</circle>"
        for x, y, p, s, n in place
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, *_ in place)
    frame = (
        f'<rect class="frame" x="{left}" y="{TOP}" width="{side}" height="{side}"/>'
        f'<line class="limit" x1="{left}" y1="{TOP + side}" x2="{left + side}" y2="{TOP}"/>'
    )
    words = [
        text(left, TOP + side + 16, "0", "middle"),
        text(left + side, TOP + side + 16, f"{top:.2g}", "middle"),
        text(left + side / 2, TOP + side + 30, "predicted", "middle"),
        text(left - 8, TOP + 10, f"{top:.2g}", "end"),
        text(left - 8, TOP + side / 2, "seen", "end"),
    ]
    return _svg(title, TOP + side + 36, [frame, f'<polyline class="line" points="{path}"/>', *dots, *words], 320)


def _interval(bar: Bar, scale: Scale, y: float) -> str:
    parts = [text(LABEL - 10, y + 4, shortened(bar.name), "end", bar.name)]
    if bar.lower is not None and bar.upper is not None:
        x1, x2 = scale.x(bar.lower), scale.x(bar.upper)
        parts.append(f'<line class="interval" x1="{x1:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y:.1f}"/>')
    if bar.value is not None:
        kind = "dot bad" if bar.emphasis else "dot"
        parts.append(f'<circle class="{kind}" cx="{scale.x(bar.value):.1f}" cy="{y:.1f}" r="4"/>')
    parts.append(text(LABEL + PLOT + 10, y + 4, bar.said, "start"))
    return "".join(parts)


def _bar(bar: Bar, scale: Scale, y: float) -> str:
    value = bar.value or 0.0
    x, width = min(scale.x(0.0), scale.x(value)), abs(scale.x(value) - scale.x(0.0))
    return (
        text(LABEL - 10, y + 4, shortened(bar.name), "end", bar.name)
        + f'<rect class="bar" x="{x:.1f}" y="{y - 6:.1f}" width="{max(width, 0.8):.1f}" height="12"/>'
        + text(LABEL + PLOT + 10, y + 4, bar.said, "start")
    )


def _axis(scale: Scale, bottom: float) -> list[str]:
    line = f'<line class="frame" x1="{LABEL}" y1="{bottom:.1f}" x2="{LABEL + PLOT}" y2="{bottom:.1f}"/>'
    marks = [scale.low + (scale.high - scale.low) * share for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    ticks = [
        f'<line class="grid" x1="{scale.x(m):.1f}" y1="{TOP}" x2="{scale.x(m):.1f}" y2="{bottom:.1f}"/>' for m in marks
    ]
    near_zero = (scale.high - scale.low) / 1000
    words = [text(scale.x(m), bottom + 16, f"{m:.3g}" if abs(m) > near_zero else "0", "middle") for m in marks]
    return [*ticks, line, *words]


def _limit(limit: float | None, scale: Scale, bottom: float) -> list[str]:
    if limit is None:
        return []
    x = scale.x(limit)
    return [
        f'<line class="limit" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom:.1f}"><title>limit {limit:g}</title>'
        "</line>"
    ]


def _svg(title: str, height: float, parts: Sequence[str], width: float = LABEL + PLOT + VALUE) -> str:
    return picture(title, height, parts, width)
