"""Count, mean, spread and range of numbers, and how two go together: sums that add up without the rows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from steward.types import JsonObject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


FARTHEST = 1e140
"""A number beyond counts as this one: the squares of millions of them still have a finite sum."""


@dataclass(frozen=True, slots=True)
class Moments:
    """`m2` is Σ (x − mean)². Merged as Chan, Golub and LeVeque 1979: as exact as one pass over all rows."""

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Of finite numbers."""
        if not len(values):
            return cls()
        low, high = float(values.min()), float(values.max())
        if low < -FARTHEST or high > FARTHEST:
            return cls.of(values.clip(-FARTHEST, FARTHEST))
        mean = float(values.mean())
        centred = values - mean
        return cls(len(values), mean, float(centred @ centred), low, high)

    @property
    def variance(self) -> float:
        """Unbiased; 0 below two rows."""
        return self.m2 / (self.n - 1) if self.n > 1 else 0.0

    @property
    def error(self) -> float | None:
        """Standard error of the mean for independent rows; None below two rows."""
        return math.sqrt(self.variance / self.n) if self.n > 1 else None

    def __add__(self, other: Moments) -> Moments:
        if not self.n or not other.n:
            return self if self.n else other
        n, apart = self.n + other.n, other.mean - self.mean
        return Moments(
            n,
            self.mean + apart * other.n / n,
            self.m2 + other.m2 + apart * apart * self.n * other.n / n,
            min(self.low, other.low),
            max(self.high, other.high),
        )

    def to_json(self) -> list[float]:
        return [self.n, self.mean, self.m2, self.low, self.high] if self.n else []

    @classmethod
    def from_json(cls, value: list[float]) -> Self:
        return cls(int(value[0]), *value[1:]) if value else cls()


@dataclass(frozen=True, slots=True)
class CoMoments:
    """Of pairs (x, y): `product` is Σ (x − mean x)(y − mean y)."""

    x: Moments = field(default_factory=Moments)
    y: Moments = field(default_factory=Moments)
    product: float = 0.0

    @classmethod
    def of(cls, x: Floats, y: Floats) -> Self:
        if not len(x):
            return cls()
        x, y = x.clip(-FARTHEST, FARTHEST), y.clip(-FARTHEST, FARTHEST)
        return cls(Moments.of(x), Moments.of(y), float((x - x.mean()) @ (y - y.mean())))

    @property
    def correlation(self) -> float | None:
        """Pearson's; None where either does not vary."""
        spread = math.sqrt(self.x.m2 * self.y.m2)
        return self.product / spread if spread > 0 else None

    def __add__(self, other: CoMoments) -> CoMoments:
        n = self.x.n + other.x.n
        apart = (other.x.mean - self.x.mean) * (other.y.mean - self.y.mean) * self.x.n * other.x.n / n if n else 0.0
        return CoMoments(self.x + other.x, self.y + other.y, self.product + other.product + apart)

    def to_json(self) -> JsonObject:
        return {"x": self.x.to_json(), "y": self.y.to_json(), "product": self.product}

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        return cls(Moments.from_json(value["x"]), Moments.from_json(value["y"]), value["product"])
