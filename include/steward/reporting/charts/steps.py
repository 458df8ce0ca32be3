"""The steps of a rollout: which share of traffic each has, and how far it has come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steward.reporting.charts.svg import box, line, picture, text

TOP, HEIGHT, WORDS, LEFT = 22.0, 90.0, 40.0, 8.0
WIDEST, GAP = 130.0, 14.0


@dataclass(frozen=True)
class Step:
    """`percent` 0 is a shadow. `state`: passed, failed, running, planned or called off."""

    percent: int
    state: str
    requests: int | None = None
    said: str = ""

    @property
    def name(self) -> str:
        return f"{self.percent} %" if self.percent else "shadow"


def steps_chart(steps: Sequence[Step], title: str) -> str:
    """A column per step, as high as its share. Empty without steps."""
    if not steps:
        return ""
    bottom, width = TOP + HEIGHT, LEFT * 2 + len(steps) * (WIDEST + GAP)
    columns = [_column(step, LEFT + place * (WIDEST + GAP), bottom) for place, step in enumerate(steps)]
    return picture(title, bottom + WORDS, [line("frame", 0, bottom, width, bottom), *columns], width)


def _column(step: Step, x: float, bottom: float) -> str:
    height, middle = max(3.0, HEIGHT * step.percent / 100), x + WIDEST / 2
    seen = "" if step.requests is None else f"{step.requests:,} requests".replace(",", " ")
    return (
        box(f"step {step.state.split()[0]}", x, bottom - height, WIDEST, height, step.said)
        + text(middle, bottom - height - 6, step.name, "middle")
        + text(middle, bottom + 16, step.state, "middle", kind=f"word {step.state.split()[0]}")
        + text(middle, bottom + 31, seen, "middle")
    )
