"""The answers of a set of rows, and what became of them: enough for every metric, without the rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from steward.monitoring.tallies.columns import add_counts
from steward.monitoring.tallies.moments import CoMoments, Moments
from steward.types import JsonObject

CELLS = 1000
"""Cells of equal width over [0, 1] that scores of a binary model fall into: cell i holds i/1000 <= score < (i+1)/1000,
the last one 1.0 too. Ranking metrics read them, so two scores within a cell count as a tie."""


MOST_GROUPS = 400
"""Groups of one protected column that are counted by name; of more, the rarest are counted as OTHERS."""
OTHERS = "all others"


def add_cells(left: Mapping[int, int], right: Mapping[int, int]) -> dict[int, int]:
    return {cell: left.get(cell, 0) + right.get(cell, 0) for cell in sorted({*left, *right})}


def pack_cells(cells: Mapping[int, int]) -> list[int]:
    """The first cell, then the counts from it on: two or three characters a cell in a JSON text."""
    if not cells:
        return []
    first = min(cells)
    return [first, *(cells.get(cell, 0) for cell in range(first, max(cells) + 1))]


def unpack_cells(packed: list[int]) -> dict[int, int]:
    return {packed[0] + place: count for place, count in enumerate(packed[1:]) if count}


@dataclass(frozen=True, slots=True)
class AnswerTally:
    """Rows answered without an error. `unscored`: without a score that can be used, which is a finite one, of a binary
    model a probability, of a multiclass model the number of a class. `counts` aligns with the bins of the profile's
    score (of a multiclass model: one per class, and a last that stays empty). `cells` only of a binary model.
    `confidence` is the probability of the class that was decided for; empty for a regression."""

    rows: int = 0
    unscored: int = 0
    counts: tuple[int, ...] = ()
    cells: Mapping[int, int] = field(default_factory=dict)
    scores: Moments = field(default_factory=Moments)
    confidence: Moments = field(default_factory=Moments)

    def __add__(self, other: AnswerTally) -> AnswerTally:
        return AnswerTally(
            self.rows + other.rows,
            self.unscored + other.unscored,
            add_counts(self.counts, other.counts),
            add_cells(self.cells, other.cells),
            self.scores + other.scores,
            self.confidence + other.confidence,
        )

    def to_json(self) -> JsonObject:
        return {
            "rows": self.rows,
            "unscored": self.unscored,
            "counts": list(self.counts),
            "cells": pack_cells(self.cells),
            "scores": self.scores.to_json(),
            "confidence": self.confidence.to_json(),
        }

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        return cls(
            value["rows"],
            value["unscored"],
            tuple(value["counts"]),
            unpack_cells(value["cells"]),
            Moments.from_json(value["scores"]),
            Moments.from_json(value["confidence"]),
        )


@dataclass(frozen=True, slots=True)
class OutcomeTally:
    """Of one slice: rows `answered` with a score, and of those with an outcome

    - `per_row`: moments of a loss or gain of each row, by name: `accuracy` `squared_error` `absolute_error` `log_loss`
      `residual` (prediction less outcome), as far as the task has it;
    - `negatives`, `positives`: rows per cell of the score, of a binary model;
    - `confusion`: rows per (decided class, true class), row-major, of a classifier;
    - `calibration`: per bin of the profile's calibration, moments of the score (or confidence) and of the outcome (or
      whether the decision was right); of OVERALL alone;
    - `business`: the score with the value that the business counts, of all rows that have one; of OVERALL alone;
    - `unusable`: outcomes that the task does not have (neither 0 nor 1, no class, not finite); in nothing else.
    """

    answered: int = 0
    labels: Moments = field(default_factory=Moments)
    per_row: Mapping[str, Moments] = field(default_factory=dict)
    negatives: Mapping[int, int] = field(default_factory=dict)
    positives: Mapping[int, int] = field(default_factory=dict)
    confusion: tuple[int, ...] = ()
    calibration: tuple[tuple[Moments, Moments], ...] = ()
    business: CoMoments = field(default_factory=CoMoments)
    unusable: int = 0

    @property
    def rows(self) -> int:
        """With an outcome and a score."""
        return self.labels.n

    def __add__(self, other: OutcomeTally) -> OutcomeTally:
        names = dict.fromkeys([*self.per_row, *other.per_row])
        nothing = Moments()
        return OutcomeTally(
            self.answered + other.answered,
            self.labels + other.labels,
            {name: self.per_row.get(name, nothing) + other.per_row.get(name, nothing) for name in names},
            add_cells(self.negatives, other.negatives),
            add_cells(self.positives, other.positives),
            add_counts(self.confusion, other.confusion),
            _paired(self.calibration, other.calibration),
            self.business + other.business,
            self.unusable + other.unusable,
        )

    def to_json(self) -> JsonObject:
        return {
            "answered": self.answered,
            "labels": self.labels.to_json(),
            "per_row": {name: moments.to_json() for name, moments in self.per_row.items()},
            "negatives": pack_cells(self.negatives),
            "positives": pack_cells(self.positives),
            "confusion": list(self.confusion),
            "calibration": [[said.to_json(), seen.to_json()] for said, seen in self.calibration],
            "business": self.business.to_json(),
            "unusable": self.unusable,
        }

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        return cls(
            value["answered"],
            Moments.from_json(value["labels"]),
            {name: Moments.from_json(moments) for name, moments in value["per_row"].items()},
            unpack_cells(value["negatives"]),
            unpack_cells(value["positives"]),
            tuple(value["confusion"]),
            tuple((Moments.from_json(said), Moments.from_json(seen)) for said, seen in value["calibration"]),
            CoMoments.from_json(value["business"]),
            value["unusable"],
        )


_Pairs = tuple[tuple[Moments, Moments], ...]


def _paired(left: _Pairs, right: _Pairs) -> _Pairs:
    if not left or not right:
        return left or right
    return tuple((a + c, b + d) for (a, b), (c, d) in zip(left, right, strict=True))


@dataclass(frozen=True, slots=True)
class GroupTally:
    """Of one group of a protected column, told from the favourable side: `selected` of all decided `rows`; of those
    with an outcome, the four cells of the confusion matrix."""

    rows: int = 0
    selected: int = 0
    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    def __add__(self, other: GroupTally) -> GroupTally:
        return GroupTally(*(a + b for a, b in zip(self.to_json(), other.to_json(), strict=True)))

    def to_json(self) -> list[int]:
        return [self.rows, self.selected, self.tp, self.fp, self.fn, self.tn]

    @classmethod
    def from_json(cls, value: list[int]) -> Self:
        return cls(*value)
