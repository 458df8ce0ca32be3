"""What a set of served rows comes to, counted against one version's profile. Tallies add up: hours to days, days to
weeks, shards to a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol, Self, TypeVar

from steward.errors import DataError
from steward.gates.verdict import OVERALL
from steward.monitoring.tallies.answers import MOST_GROUPS, OTHERS, AnswerTally, GroupTally, OutcomeTally
from steward.monitoring.tallies.columns import ColumnTally
from steward.monitoring.tallies.operation import OperationTally
from steward.types import JsonObject

FORMAT = 1
_Part = TypeVar("_Part", ColumnTally, OutcomeTally, GroupTally)


@dataclass(frozen=True, slots=True)
class Tally:
    """`profile` is the digest of the profile whose bins the counts align with. `columns` by feature; `outcomes` by
    slice, OVERALL among them; `groups` by protected column and group."""

    profile: str
    columns: Mapping[str, ColumnTally] = field(default_factory=dict)
    answers: AnswerTally = field(default_factory=AnswerTally)
    outcomes: Mapping[str, OutcomeTally] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, GroupTally]] = field(default_factory=dict)
    operation: OperationTally = field(default_factory=OperationTally)

    @property
    def rows(self) -> int:
        return self.operation.rows

    @property
    def overall(self) -> OutcomeTally:
        return self.outcomes.get(OVERALL, OutcomeTally())

    def __add__(self, other: Tally) -> Tally:
        if self.profile != other.profile:
            raise DataError(
                f"counts against profile {self.profile[:12]} and {other.profile[:12]} cannot be added",
                hint="count the days again against one profile",
            )
        by_column = dict.fromkeys([*self.groups, *other.groups])
        return Tally(
            self.profile,
            _added(self.columns, other.columns),
            self.answers + other.answers,
            _added(self.outcomes, other.outcomes),
            {name: _fewer(_added(self.groups.get(name, {}), other.groups.get(name, {}))) for name in by_column},
            self.operation + other.operation,
        )

    @classmethod
    def total(cls, profile: str, parts: Iterable[Tally]) -> Tally:
        """Of none: an empty one."""
        whole = Tally(profile)
        for part in parts:
            whole = whole + part
        return whole

    def to_json(self) -> JsonObject:
        return {
            "format": FORMAT,
            "profile": self.profile,
            "columns": {name: column.to_json() for name, column in self.columns.items()},
            "answers": self.answers.to_json(),
            "outcomes": {name: found.to_json() for name, found in self.outcomes.items()},
            "groups": {
                column: {name: group.to_json() for name, group in groups.items()}
                for column, groups in self.groups.items()
            },
            "operation": self.operation.to_json(),
        }

    @classmethod
    def from_json(cls, value: JsonObject) -> Self:
        """Raises DataError for a format this release does not read."""
        if value.get("format") != FORMAT:
            raise DataError(
                f"a day's tally has format {value.get('format')!r}, this release reads {FORMAT}",
                hint="the monitor counts such days again from the prediction log, as far back as it is kept",
            )
        return cls(
            value["profile"],
            {name: ColumnTally.from_json(column) for name, column in value["columns"].items()},
            AnswerTally.from_json(value["answers"]),
            {name: OutcomeTally.from_json(found) for name, found in value["outcomes"].items()},
            {
                column: {name: GroupTally.from_json(group) for name, group in groups.items()}
                for column, groups in value["groups"].items()
            },
            OperationTally.from_json(value["operation"]),
        )


def _added(left: Mapping[str, _Part], right: Mapping[str, _Part]) -> dict[str, _Part]:
    return {
        name: left[name] + right[name] if name in left and name in right else left.get(name) or right[name]
        for name in dict.fromkeys([*left, *right])
    }


def _fewer(groups: dict[str, GroupTally]) -> dict[str, GroupTally]:
    if len(groups) <= MOST_GROUPS + 1:
        return groups
    rarest = sorted((name for name in groups if name != OTHERS), key=lambda name: (-groups[name].rows, name))
    rest = sum((groups[name] for name in rarest[MOST_GROUPS:]), groups.get(OTHERS, GroupTally()))
    return {**{name: groups[name] for name in rarest[:MOST_GROUPS]}, OTHERS: rest}


@dataclass(frozen=True, slots=True)
class DayTally:
    """One UTC day of one version, with the outcomes known at `counted_at`.

    `sample`: a few of its rows, as `steward.monitoring.profiles.samples` packs them; None where no check asks.
    `digest` names the counts; None until they are stored.
    """

    model: str
    version: int
    day: date
    tally: Tally
    counted_at: datetime
    sample: bytes | None = None
    digest: str | None = field(default=None, compare=False)


class TallyTable(Protocol):
    def record(self, counted: DayTally) -> None:
        """One row per model, version and day; counting again replaces it."""
        ...

    def days(self, model: str, version: int, first: date, last: date) -> list[DayTally]:
        """Both ends included, oldest first. Days that were not counted, or in a form that is read no more, are not
        there: they are counted again."""
        ...

    def confirm(self, read: Sequence[DayTally], at: datetime) -> None:
        """Nothing came for these days until `at`: their counts are those of `at`. Of one that somebody else counted
        again since it was read, nothing is said."""
        ...

    def drop(self, model: str, first: date, last: date) -> None:
        """Rows of these days were replaced: whoever needs their counts counts again. Of every version."""
        ...

    def expire(self, model: str, before: date) -> int:
        """Remove older days; how many."""
        ...
