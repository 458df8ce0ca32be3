"""All that the record says of one version of a model at one moment; the card and the compliance report are views of it.

Pure: events, evidence and the proof of the ledger are handed in. What was not recorded is None here, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from steward.gates import Evidence, Verdict
from steward.ledger import AuditEvent, EventType, FiledDocument, Waiver, documents_of, live_waivers, person_of
from steward.types import JsonObject, Window, digest_of, parse_instant, to_json

DECIDED = (EventType.VERSION_REGISTERED, EventType.VERSION_REJECTED)
MADE_FROM = ("snapshot", "validation", "training", "evaluation", "profile")


@dataclass(frozen=True)
class Proof:
    """The state of the ledger when a report was written: its head, signed, and whether every link held."""

    events: int
    head_hash: str
    problem: str | None = None
    checkpoint: JsonObject | None = None

    def to_json(self) -> JsonObject:
        return to_json({**vars(self), "intact": self.problem is None})


@dataclass(frozen=True)
class Link:
    """One thing in the record that a reader can look up: evidence by digest, an event by number."""

    what: str
    at: datetime | None = None
    by: str | None = None
    digest: str | None = None
    seq: int | None = None

    def to_json(self) -> JsonObject:
        return to_json(vars(self))


@dataclass(frozen=True)
class Facts:
    """`spec` is as recorded with the version, or of today before there is one; `events` end at `at`.

    `portfolio` are events about all models; `evidence` holds what the version was made from and judged by, by kind,
    and `window` the newest judged one. `valid_for` is how long an approval of this tier stays good;
    `version_kinds` are the documents that are about one version.
    """

    model: str
    version: int | None
    at: datetime
    generated_at: datetime
    spec: JsonObject
    events: Sequence[AuditEvent]
    proof: Proof
    portfolio: Sequence[AuditEvent] = ()
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    window: Evidence | None = None
    present_spec_digest: str | None = None
    valid_for: timedelta | None = None
    version_kinds: frozenset[str] = frozenset({"validation_report"})

    @property
    def name(self) -> str:
        return self.model if self.version is None else f"{self.model}@{self.version}"

    @property
    def spec_digest(self) -> str:
        return digest_of(self.spec)

    @property
    def tier(self) -> str:
        return str(self.spec["risk_tier"])

    @cached_property
    def registered(self) -> AuditEvent | None:
        """The event that gave the version its number, as a challenger or a rejected one."""
        return registration(self.events, self.version)

    @cached_property
    def documents(self) -> dict[str, FiledDocument]:
        return documents_of(self.events, self.version)

    @cached_property
    def waivers(self) -> list[Waiver]:
        """Live ones that touch this version."""
        return [w for w in live_waivers(self.events, self.at) if w.version in (None, self.version)]

    @property
    def evaluation(self) -> JsonObject:
        found = self.evidence.get("evaluation")
        return found.body if found else {}

    @property
    def verdict(self) -> Verdict:
        return Verdict.from_json(self.evaluation["verdict"]) if self.evaluation else Verdict()

    def last(self, *kinds: EventType, about_version: bool = True) -> AuditEvent | None:
        """The newest of these events: of this version, or of its model as a whole."""
        found = (e for e in reversed(self.events) if e.type in kinds)
        return next((e for e in found if not about_version or e.version in (None, self.version)), None)

    def link_to_evidence(self, kind: str) -> Link | None:
        """To one of `MADE_FROM`, dated by the event that recorded it."""
        found = self.evidence.get(kind)
        if found is None:
            return None
        event = self._recorded(found.digest) or self.registered
        by = person_of(event.actor) if event else None
        return Link(kind, event.at if event else None, by, found.digest, event.seq if event else None)

    def _recorded(self, digest: str) -> AuditEvent | None:
        return next((e for e in self.events if e.evidence == digest), None)

    def open_incidents(self) -> list[AuditEvent]:
        """The event that opened each incident of this version that nothing resolved yet, oldest first."""
        opened: dict[str, AuditEvent] = {}
        for event in self.events:
            if event.type is EventType.INCIDENT_OPENED and event.version in (None, 0, self.version):
                opened[event.body["incident"]] = event
            elif event.type is EventType.INCIDENT_RESOLVED:
                opened.pop(event.body["incident"], None)
        return list(opened.values())

    def approval(self) -> tuple[AuditEvent | None, str | None]:
        """The answer that made the quorum, and why it no longer counts, if it does not."""
        granted = [e for e in self._of_version(EventType.APPROVAL_ANSWERED) if e.body.get("state") == "approved"]
        if not granted:
            return None, None
        last = granted[-1]
        voided = [e for e in self._of_version(EventType.APPROVAL_VOIDED) if e.seq > last.seq]
        if voided and voided[-1].body.get("request") == last.body.get("request"):
            return last, f"voided on {voided[-1].at:%Y-%m-%d}: {voided[-1].reason}"
        if self.valid_for is not None and self.at >= last.at + self.valid_for:
            return last, f"lapsed on {last.at + self.valid_for:%Y-%m-%d}"
        return last, None

    def answers(self) -> list[AuditEvent]:
        return self._of_version(EventType.APPROVAL_ANSWERED)

    def last_window(self) -> AuditEvent | None:
        judged = self._of_version(EventType.WINDOW_JUDGED)
        return judged[-1] if judged else None

    def broken_glass(self) -> AuditEvent | None:
        found = self._of_version(EventType.GLASS_BROKEN)
        return found[-1] if found else None

    def _of_version(self, kind: EventType) -> list[AuditEvent]:
        return [e for e in self.events if e.type is kind and e.version == self.version]

    def value(self, dotted: str) -> Any:
        """What the spec says under a key; None when it says nothing."""
        found: Any = self.spec
        for part in dotted.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        return None if found in ((), [], {}, "") else found


def registration(events: Sequence[AuditEvent], version: int | None) -> AuditEvent | None:
    """A version is registered once; a rejection by its gates is that event, one by people comes later."""
    mine = (e for e in events if version is not None and e.version == version)
    return next((e for e in mine if e.type in DECIDED and "spec" in e.body), None)


def window_of(event: AuditEvent) -> Window:
    return Window.from_json(event.body["window"])


def next_review(event: AuditEvent) -> datetime | None:
    due = event.body.get("next_review_at")
    return parse_instant(due) if due else None
