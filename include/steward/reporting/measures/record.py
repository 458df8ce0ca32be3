"""What is counted: deployments, ways back, incidents, retrainings, audits and judged windows, each with its events.

Every fact belongs to one model, and to the team and tier that the spec of the version in question named: what the
ledger knew then, not what a file says today. `began` decides in which days a fact is counted; a fact is counted once,
there, however long it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from steward.ledger import AuditEvent

NOT_RECORDED = "not recorded"
"""Team and tier of a model of which no version was ever registered."""


class Moment(NamedTuple):
    """An event, by its place in the ledger and both its clocks."""

    seq: int
    at: datetime
    recorded_at: datetime

    @classmethod
    def of(cls, event: AuditEvent) -> Moment:
        return cls(event.seq, event.at, event.recorded_at)

    def until(self, later: Moment) -> float:
        """Seconds on the wall: how long machines and people took."""
        return max(0.0, (later.recorded_at - self.recorded_at).total_seconds())


class Whose(NamedTuple):
    model: str
    team: str = NOT_RECORDED
    tier: str = NOT_RECORDED

    def group(self, by: str) -> str:
        return "" if by == PORTFOLIO else str(getattr(self, by))


PORTFOLIO = "portfolio"
GROUPINGS = (PORTFOLIO, "team", "tier", "model")


class Fact(Protocol):
    @property
    def whose(self) -> Whose: ...

    @property
    def began(self) -> Moment: ...

    def seqs(self) -> Iterator[int]:
        """The events that it was read from."""
        ...


@dataclass
class Trouble:
    """An incident about a model in service. `bad_since`: from when it could have been seen, business time."""

    whose: Whose
    began: Moment
    version: int | None
    cause: str
    bad_since: datetime | None
    from_outside: bool
    resolved: Moment | None = None

    @property
    def seconds_open(self) -> float | None:
        """By the calendar where judged windows told of it, by the wall where somebody looked from outside."""
        if self.resolved is None:
            return None
        if self.from_outside:
            return self.began.until(self.resolved)
        return max(0.0, (self.resolved.at - self.began.at).total_seconds())

    def seqs(self) -> Iterator[int]:
        yield self.began.seq
        if self.resolved:
            yield self.resolved.seq


@dataclass
class Deployment:
    """A version since it first answered more than 0 % of users.

    `approved` is the answer that its release went out on, `asks` whether one was needed at all. `same_code`: an earlier
    deployment brought the commit that it was made from.
    """

    whose: Whose
    began: Moment
    version: int | None
    registered: Moment | None = None
    started: Moment | None = None
    asks: bool = False
    approved: Moment | None = None
    glass: Moment | None = None
    committed_at: datetime | None = None
    same_code: bool = False
    complete: Moment | None = None
    back: Moment | None = None
    incidents: list[Trouble] = field(default_factory=list)

    @property
    def through_pipeline(self) -> bool:
        """Registered, let out by a rollout, and approved where that is asked for; no glass was broken for it."""
        allowed = self.approved is not None or not self.asks
        return self.registered is not None and self.started is not None and allowed and self.glass is None

    @property
    def failed(self) -> bool:
        return self.back is not None or bool(self.incidents)

    def seqs(self) -> Iterator[int]:
        known = (self.registered, self.approved, self.glass, self.started, self.began, self.complete, self.back)
        yield from (moment.seq for moment in known if moment)


@dataclass
class WayBack:
    """A version that answered users was rolled back, to `to`. `detected` is the event that first said it fails."""

    whose: Whose
    began: Moment
    version: int | None
    to: int | None
    detected: Moment | None
    seconds: float | None

    @property
    def seconds_to_good(self) -> float | None:
        """Without an event before it: from the call to the commit, as the way back itself was timed."""
        if self.to is None:
            return None
        return self.detected.until(self.began) if self.detected else self.seconds

    def seqs(self) -> Iterator[int]:
        if self.detected:
            yield self.detected.seq
        yield self.began.seq


@dataclass
class Retraining:
    """A training run that was let in while a champion served. `outcome` None while it goes on."""

    whose: Whose
    began: Moment
    outcome: str | None = None
    ended: Moment | None = None

    def end(self, outcome: str, event: AuditEvent) -> None:
        self.outcome, self.ended = outcome, Moment.of(event)

    def seqs(self) -> Iterator[int]:
        yield self.began.seq
        if self.ended:
            yield self.ended.seq


class Audited(NamedTuple):
    """A model in one nightly audit: `passed` None where the audit could not ask. `found` are its open findings."""

    whose: Whose
    began: Moment
    passed: bool | None
    found: tuple[int, ...] = ()

    def seqs(self) -> Iterator[int]:
        yield self.began.seq
        yield from self.found


class Judged(NamedTuple):
    """A window as it was judged last. `drifted` None where drift could not be judged; `utilisation` where no capacity
    is declared, or nobody asked."""

    whose: Whose
    began: Moment
    drifted: bool | None
    utilisation: float | None

    def seqs(self) -> Iterator[int]:
        yield self.began.seq


@dataclass
class InService:
    """A model's champion in service, from an event on until another; `ended` None while it serves."""

    whose: Whose
    began: Moment
    ended: Moment | None = None

    def seqs(self) -> Iterator[int]:
        yield self.began.seq


@dataclass
class Record:
    """All facts, or those of one group, or of some days of it."""

    deployments: list[Deployment] = field(default_factory=list)
    ways_back: list[WayBack] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    retrainings: list[Retraining] = field(default_factory=list)
    audits: list[Audited] = field(default_factory=list)
    windows: list[Judged] = field(default_factory=list)
    in_service: list[InService] = field(default_factory=list)

    def groups(self, by: str) -> dict[str, Record]:
        """By team, tier or model; everything under "" for the portfolio."""
        if by == PORTFOLIO:
            return {"": self}
        found: dict[str, Record] = {}
        for name in _KINDS:
            for fact in getattr(self, name):
                getattr(found.setdefault(fact.whose.group(by), Record()), name).append(fact)
        return found

    def within(self, since: datetime, until: datetime) -> Record:
        """What began after `since` and by `until`; of services, those under way at some time of it."""
        kept = {name: _began_in(getattr(self, name), since, until) for name in _KINDS[:-1]}
        under_way = [s for s in self.in_service if s.began.at <= until and (s.ended is None or s.ended.at > since)]
        return Record(**kept, in_service=under_way)


_KINDS = tuple(each.name for each in fields(Record))


def _began_in(facts: Iterable[Fact], since: datetime, until: datetime) -> list[Any]:
    return [fact for fact in facts if since < fact.began.at <= until]
