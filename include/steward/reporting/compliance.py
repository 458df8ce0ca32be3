"""A compliance pack held against the record: each statement met by linked evidence, or a gap with what to do.

Nothing is filled with words: absence, age and doubt are gaps. A waived gate is a gap too, with the waiver named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from steward.gates import Finding, Outcome
from steward.ledger import AuditEvent, EventType, FiledDocument, person_of
from steward.reporting.facts import Facts, Link, next_review, window_of
from steward.reporting.packs import Pack, PackCatalogue, Query, Statement, superseded_frameworks
from steward.spec import format_duration
from steward.types import JsonObject, parse_instant, to_json

SMALL = {"slices": "slice.rows", "fairness": "fairness.rows"}
MONITOR_WINDOWS = 2  # a monitor that judged nothing for this many of its windows is silent


class Status(StrEnum):
    MET = "met"
    GAP = "gap"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Shown:
    """What the record answers to one query: links, and what is missing (None: nothing is)."""

    links: tuple[Link, ...] = ()
    gap: str | None = None


@dataclass(frozen=True)
class Judged:
    """One statement, and what each of its queries found."""

    statement: Statement
    status: Status
    shown: tuple[tuple[Query, Shown], ...] = ()

    def to_json(self) -> JsonObject:
        about = self.statement.model_dump(mode="json", exclude={"evidence", "applies_to"})
        found = [
            {"asked": str(query), "links": [link.to_json() for link in shown.links], "gap": shown.gap}
            for query, shown in self.shown
        ]
        return {**about, "status": self.status.value, "evidence": found}


def compliance_report(facts: Facts, catalogue: PackCatalogue, frameworks: Iterable[str]) -> JsonObject:
    """Raises NotFoundError for a framework that no pack describes."""
    wanted, on = list(dict.fromkeys(frameworks)), facts.at.date()
    frameworks_judged = [_framework(catalogue.get(name, on), facts) for name in wanted]
    return to_json(
        {
            "kind": "compliance_report",
            "model": facts.model,
            "version": facts.version,
            "title": facts.spec["title"],
            "owner": facts.spec["owner"],
            "risk_tier": facts.tier,
            "at": facts.at,
            "generated_at": facts.generated_at,
            "spec_digest": facts.spec_digest,
            "findings": superseded_frameworks(catalogue, wanted, on),
            "frameworks": frameworks_judged,
            "evidence": _sources(frameworks_judged),
            "proof": facts.proof.to_json(),
        }
    )


def _framework(pack: Pack, facts: Facts) -> JsonObject:
    judged = judge_pack(pack, facts)
    counts = {status.value: sum(each.status is status for each in judged) for status in Status}
    heading = {**pack.heading(), "standing": pack.standing(facts.at.date())}
    return {**heading, "counts": counts, "statements": [each.to_json() for each in judged]}


def _sources(frameworks: Sequence[JsonObject]) -> list[JsonObject]:
    """Every digest the report points to, once."""
    statements = (one for pack in frameworks for one in pack["statements"])
    links = (link for one in statements for asked in one["evidence"] for link in asked["links"])
    return list({link["digest"]: link for link in links if link["digest"]}.values())


def judge_pack(pack: Pack, facts: Facts) -> list[Judged]:
    return [judge_statement(statement, facts) for statement in pack.statements]


def judge_statement(statement: Statement, facts: Facts) -> Judged:
    if facts.tier not in statement.applies_to:
        return Judged(statement, Status.NOT_APPLICABLE)
    shown = tuple((query, answer(query, facts)) for query in statement.evidence)
    met = all(found.gap is None and found.links for _, found in shown)
    return Judged(statement, Status.MET if met else Status.GAP, shown)


def answer(query: Query, facts: Facts) -> Shown:
    return ANSWERS[query.kind](query, facts)


def _document(query: Query, facts: Facts) -> Shown:
    kind = str(query.document)
    found = facts.documents.get(kind)
    if found is None:
        about = facts.name if kind in facts.version_kinds else facts.model
        way_out = f"file it: `steward document file {about} --kind {kind} FILE`"
        return Shown(gap=f"no {kind} is filed{_of_another(kind, facts)}; {way_out}")
    return _aged(_document_link(found), query.within, facts)


def _document_link(found: FiledDocument) -> Link:
    return Link(f"{found.kind}: {found.title}", found.at, found.by, found.digest)


def _of_another(kind: str, facts: Facts) -> str:
    """A document of another version does not count, but a reader will look for it."""
    filed = [e for e in facts.events if e.type is EventType.DOCUMENT_FILED and e.body["kind"] == kind]
    return f" for this version (the last is for @{filed[-1].version})" if filed else ""


def _evidence(query: Query, facts: Facts) -> Shown:
    link = facts.link_to_evidence(str(query.evidence))
    if link is None:
        return Shown(gap=f"no {query.evidence} is on record: train a version")
    if query.evidence != "validation" or (verdict := facts.evidence["validation"].verdict).passed:
        return Shown((link,))
    return Shown((link,), f"the data did not surely keep their contract: {'; '.join(verdict.reasons)}")


def _evaluated(query: Query, facts: Facts) -> Shown:
    part, link = str(query.evaluated), facts.link_to_evidence("evaluation")
    found = facts.evaluation.get(part)
    if part == "importance" and isinstance(found, dict):
        found = found.get("features")
    if not found or link is None:
        return Shown(gap=f"the evaluation has no {part}{_HOW.get(part, '')}")
    links = (Link(f"evaluation, {part}", link.at, link.by, link.digest, link.seq),)
    return Shown(links, "; ".join(_left_out(part, facts)) or None)


def _left_out(part: str, facts: Facts) -> Iterator[str]:
    """Slices and groups that were too small, or too many, to be judged: a part that hides them is no evidence."""
    yield from (f.reason for f in facts.verdict.findings if f.gate == SMALL.get(part))
    if part == "fairness":
        yield from (g["problem"] for g in facts.evaluation["fairness"]["groupings"] if g.get("problem"))


_HOW = {
    "fairness": ": name `data.protected` columns and train again",
    "slices": ": name `evaluation.slices` and train again",
}


def _verdict(query: Query, facts: Facts) -> Shown:
    pattern, link = str(query.verdict), facts.link_to_evidence("evaluation")
    found = [f for f in facts.verdict.findings if fnmatchcase(f.gate, pattern)]
    if not found or link is None:
        return Shown(gap=f"the evaluation judged no gate `{pattern}`: set a limit in model.yaml and train again")
    passed = sum(f.outcome is Outcome.PASSED for f in found)
    links = (Link(f"gates {pattern}: {passed} of {len(found)} passed", link.at, link.by, link.digest, link.seq),)
    bad = [f"{f.reason}{_waived(f, facts)}" for f in found if f.outcome is not Outcome.PASSED]
    return Shown(links, "; ".join(bad) or None)


def _waived(finding: Finding, facts: Facts) -> str:
    for waiver in facts.waivers:
        if waiver.covers(finding.gate, finding.slice, facts.version):
            return f" (waived by {waiver.by} until {waiver.expires_at:%Y-%m-%d})"
    return ""


def _event(query: Query, facts: Facts) -> Shown:
    kind = EventType(str(query.event))
    found = facts.last(kind) or next((e for e in reversed(facts.portfolio) if e.type is kind), None)
    if found is None:
        return Shown(gap=f"no {kind} event is on record{_WRITTEN_BY.get(kind, '')}")
    return _aged(_event_link(found), query.within, facts)


_WRITTEN_BY = {
    EventType.INVENTORY_AUDITED: ": the DAG steward__audit_inventory writes it every night",
    EventType.ROLLOUT_STARTED: ": the version was never released",
}


def _event_link(event: AuditEvent, what: str | None = None) -> Link:
    return Link(what or f"{event.type}: {event.reason}", event.at, person_of(event.actor), event.evidence, event.seq)


def _stage(query: Query, facts: Facts) -> Shown:
    entered = [e for e in facts.events if e.type is EventType.STAGE_ENTERED and e.body["stage"] == query.stage]
    if not entered:
        return Shown(gap=f"the model has not entered the stage {query.stage}; see `steward stage {facts.model}`")
    return Shown((_event_link(entered[-1], f"entered the stage {query.stage}"),))


def _approval(query: Query, facts: Facts) -> Shown:
    granted, doubt = facts.approval()
    if granted is None:
        broken = facts.broken_glass()
        how = f"; the glass was broken on {broken.at:%Y-%m-%d} by {person_of(broken.actor)}" if broken else ""
        return Shown(gap=f"nobody approved {facts.name}{how}; `steward approve {facts.name} --reason …`")
    request = granted.body.get("request")
    same = [e for e in facts.answers() if e.body.get("request") == request and e.body.get("approved")]
    links = tuple(_event_link(event) for event in same)
    if doubt:
        return Shown(links, f"the approval was {doubt}; ask again")
    return Shown(links, _expired(granted.at, query.within, facts))


def _monitor(_query: Query, facts: Facts) -> Shown:
    judged = facts.last_window()
    if judged is None:
        return Shown(gap=f"no window of {facts.name} was judged: does it serve, and does its monitor run?")
    window, days = window_of(judged), int(facts.spec["monitoring"]["window"]["days"])
    links = (_event_link(judged, f"window to {window.end:%Y-%m-%d}: {judged.body['outcome']}"),)
    if facts.at - window.end > timedelta(days=MONITOR_WINDOWS * days):
        return Shown(links, f"the monitor is silent since {window.end:%Y-%m-%d}: look at {facts.model}__monitor")
    if judged.body["outcome"] == Outcome.INCONCLUSIVE:
        return Shown(links, f"the last window could not be judged: {judged.reason}")
    return Shown(links)


def _review(_query: Query, facts: Facts) -> Shown:
    found = facts.last(EventType.MODEL_REVIEWED, about_version=False)
    if found is None:
        return Shown(gap=f"nobody has reviewed the model as a whole yet: `steward review {facts.model} --reason …`")
    due = next_review(found)
    late = f"the review due on {due:%Y-%m-%d} is overdue" if due and facts.at >= due else None
    return Shown((_event_link(found),), late)


def _waivers(_query: Query, facts: Facts) -> Shown:
    registered = facts.registered
    if registered is None:
        return Shown(gap="there is no version yet whose gates could have been set aside")
    used = registered.body.get("waivers", [])
    if not used:
        return Shown((_event_link(registered, "no gate was set aside"),))
    live = {waiver.id for waiver in facts.waivers}
    links = tuple(Link(f"{w['gate']} waived until {w['expires_at'][:10]}", by=w["by"]) for w in used)
    ended = [f"the waiver of {w['gate']} by {w['by']} {_ended(w, facts)}" for w in used if w["id"] not in live]
    return Shown(links, "; ".join(ended) + ": train a version that passes, or have it waived anew" if ended else None)


def _ended(waiver: JsonObject, facts: Facts) -> str:
    until = parse_instant(waiver["expires_at"])
    return f"expired on {until:%Y-%m-%d}" if until <= facts.at else "was revoked"


def _incidents(_query: Query, facts: Facts) -> Shown:
    if facts.last_window() is None:
        return Shown(gap="nothing was monitored yet, so nothing could be found")
    unresolved = facts.open_incidents()
    if unresolved:
        told = "; ".join(f"{e.body['cause']} since {e.at:%Y-%m-%d}" for e in unresolved)
        return Shown(tuple(map(_event_link, unresolved)), f"{len(unresolved)} open: {told}")
    last = facts.last(EventType.INCIDENT_RESOLVED) or facts.last_window()
    assert last is not None
    return Shown((_event_link(last),))


def _chain(_query: Query, facts: Facts) -> Shown:
    proof = facts.proof
    if proof.problem is not None:
        return Shown(gap=f"the ledger does not hold: {proof.problem}")
    return Shown((Link(f"{proof.events} events, every link holds; head {proof.head_hash[:12]}"),))


def _field(query: Query, facts: Facts) -> Shown:
    key = str(query.field)
    value = facts.value(key)
    if value is None:
        return Shown(gap=f"model.yaml says nothing under `{key}`")
    return Shown((Link(f"declared in model.yaml, `{key}`", digest=facts.spec_digest),))


def _duty(query: Query, _facts: Facts) -> Shown:
    return Shown(gap=f"not something these records can show: {query.duty}")


def _aged(link: Link, within: timedelta | None, facts: Facts) -> Shown:
    return Shown((link,), _expired(link.at, within, facts))


def _expired(at: datetime | None, within: timedelta | None, facts: Facts) -> str | None:
    if within is None or at is None or facts.at - at <= within:
        return None
    return f"expired: of {at:%Y-%m-%d}, older than {format_duration(within)}"


ANSWERS: dict[str, Callable[[Query, Facts], Shown]] = {
    "document": _document,
    "evidence": _evidence,
    "evaluated": _evaluated,
    "verdict": _verdict,
    "event": _event,
    "stage": _stage,
    "approval": _approval,
    "monitor": _monitor,
    "review": _review,
    "waivers": _waivers,
    "incidents": _incidents,
    "chain": _chain,
    "field": _field,
    "duty": _duty,
}
