"""Small sections that other sections are made of: limits and lengths."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from steward.spec.fields import Duration, Section


class Days(Section):
    days: int = Field(ge=1, le=3660)

    @property
    def length(self) -> timedelta:
        return timedelta(days=self.days)


class Limit(Section):
    max: float


class LatencyLimit(Section):
    max: Duration


class Floor(Section):
    min: float
