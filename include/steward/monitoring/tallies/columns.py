"""One feature of a set of rows, counted in the bins of a version's profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from steward.monitoring.tallies.moments import CoMoments, Moments
from steward.types import JsonObject

MOST_STRANGE = 20  # unseen levels that are kept by name; more are only counted


def add_counts(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    """Aligned; an empty one is all zeros."""
    return tuple(a + b for a, b in zip(left, right, strict=True)) if left and right else left or right


def add_named(left: Mapping[str, int], right: Mapping[str, int], most: int | None = None) -> dict[str, int]:
    """By name; with `most`, only the most frequent, ties by name."""
    found = Counter(left) + Counter(right)
    if most is None or len(found) <= most:
        return dict(found)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:most])


@dataclass(frozen=True, slots=True)
class Words:
    """Of a text feature: words in all, those the reference never had, and counts per hashed bucket.

    The words of one text go together, so how much a share may vary is told by the texts: `per_text` pairs the words of
    each text with its unseen ones, `spread` is Σ over texts and buckets of (count − p · words)² / p, where p is the
    reference's share of the bucket.
    """

    total: int = 0
    unseen: int = 0
    buckets: tuple[int, ...] = ()
    per_text: CoMoments = field(default_factory=CoMoments)
    spread: float = 0.0

    @property
    def texts(self) -> int:
        """With a word at least."""
        return self.per_text.x.n

    def __add__(self, other: Words) -> Words:
        return Words(
            self.total + other.total,
            self.unseen + other.unseen,
            add_counts(self.buckets, other.buckets),
            self.per_text + other.per_text,
            self.spread + other.spread,
        )

    def to_json(self) -> JsonObject:
        return {
            "total": self.total,
            "unseen": self.unseen,
            "buckets": list(self.buckets),
            "per_text": self.per_text.to_json(),
            "spread": self.spread,
        }

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        per_text = CoMoments.from_json(value["per_text"])
        return cls(value["total"], value["unseen"], tuple(value["buckets"]), per_text, value["spread"])


@dataclass(frozen=True, slots=True)
class ColumnTally:
    """`rows` = known + missing + infinite + broken + absent.

    `broken`: not of the feature's type, `example` shows one. `absent`: rows of a frame without the column. `outside`:
    known values beyond the contract's range, or levels it does not list; `strange` names unseen levels. `counts` aligns
    with the profile's bins; `moments` are of known numbers (of a text: its length).
    """

    rows: int = 0
    missing: int = 0
    infinite: int = 0
    broken: int = 0
    absent: int = 0
    outside: int = 0
    counts: tuple[int, ...] = ()
    moments: Moments = field(default_factory=Moments)
    strange: Mapping[str, int] = field(default_factory=dict)
    example: str | None = None
    words: Words | None = None

    @property
    def known(self) -> int:
        return self.rows - self.missing - self.infinite - self.broken - self.absent

    @property
    def missing_share(self) -> float | None:
        """Of rows that had the column; an infinite number counts as missing. None without such rows."""
        there = self.rows - self.absent - self.broken
        return (self.missing + self.infinite) / there if there else None

    def __add__(self, other: ColumnTally) -> ColumnTally:
        return ColumnTally(
            self.rows + other.rows,
            self.missing + other.missing,
            self.infinite + other.infinite,
            self.broken + other.broken,
            self.absent + other.absent,
            self.outside + other.outside,
            add_counts(self.counts, other.counts),
            self.moments + other.moments,
            add_named(self.strange, other.strange, MOST_STRANGE),
            self.example if self.example is not None else other.example,
            self.words + other.words if self.words and other.words else self.words or other.words,
        )

    def to_json(self) -> JsonObject:
        found: JsonObject = {
            "rows": self.rows,
            "missing": self.missing,
            "infinite": self.infinite,
            "broken": self.broken,
            "absent": self.absent,
            "outside": self.outside,
            "counts": list(self.counts),
            "moments": self.moments.to_json(),
        }
        if self.strange:
            found["strange"] = dict(self.strange)
        if self.example is not None:
            found["example"] = self.example
        if self.words is not None:
            found["words"] = self.words.to_json()
        return found

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        words = value.get("words")
        return cls(
            **{
                **value,
                "counts": tuple(value["counts"]),
                "moments": Moments.from_json(value["moments"]),
                "words": Words.from_json(words) if words is not None else None,
            }
        )
