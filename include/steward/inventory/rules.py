"""The rules of the nightly audit, one function each. Thresholds are the spec's and the policy's, none is written here.

No traffic, no monitor, no owner, no approval: what serves without one of them is a zombie.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from steward.inventory.build import VALIDATION_REPORT, champion_since, review_due
from steward.inventory.record import ModelFacts
from steward.inventory.zombies import ESTATE_UNKNOWN, UNDECIDED, Estate, Found, Rule
from steward.ledger import EventType, live_waivers, tombstone_of
from steward.ledger.governance import documents_of
from steward.ledger.replay import CHALLENGER, CHAMPION, REJECTED, RETIRED, SUPERSEDED
from steward.spec.controls import runs_per_year
from steward.types import RiskTier, parse_instant

ANSWERING = frozenset({CHAMPION, "canary"})  # roles whose answers users get
MISSED_WINDOWS = 2
SETTLING = timedelta(hours=1)  # for the tasks after a step to roll back, with all their tries
_YEAR = timedelta(days=365.25)


def no_owner(estate: Estate, facts: ModelFacts) -> Iterator[Found]:
    if facts.external is not None and facts.external.owner is None:
        yield None, f"{facts.model} runs on {facts.external.runs_on} and nobody here answers for it"


def owner_gone(estate: Estate, facts: ModelFacts) -> Iterable[Found] | None:
    if not estate.people:
        return UNDECIDED
    declared = facts.spec or facts.external
    owner = declared.owner if declared else None
    if owner is None or facts.model in estate.retired:
        return []
    if owner.user not in estate.people:
        return [(None, f"its owner {owner.user} is nobody the policy knows")]
    left = estate.people[owner.user]
    return [(None, f"its owner {owner.user} left on {left}")] if left and estate.now.date() >= left else []


def no_monitor(estate: Estate, facts: ModelFacts) -> Iterator[Found]:
    if facts.champion and not facts.judged and (since := _serves_unwatched_since(estate, facts)):
        yield facts.champion.number, f"it serves since {since:%Y-%m-%d} and no window of it was ever judged"


def silent_monitor(estate: Estate, facts: ModelFacts) -> Iterator[Found]:
    last = max((judged.judged_at for judged in facts.judged), default=None)
    if facts.champion and last and _serves_unwatched_since(estate, facts) and last < _looked_for_since(estate, facts):
        yield facts.champion.number, f"no window was judged after {last:%Y-%m-%d %H:%M} UTC"


def _looked_for_since(estate: Estate, facts: ModelFacts) -> datetime:
    assert facts.spec is not None
    return estate.now - MISSED_WINDOWS * _YEAR / runs_per_year(facts.spec.monitoring.schedule)


def _serves_unwatched_since(estate: Estate, facts: ModelFacts) -> datetime | None:
    """Since when the champion serves, once that is long enough for its monitor to have run."""
    since = champion_since(facts)
    return since if since and since < _looked_for_since(estate, facts) else None


def served_unregistered(estate: Estate, facts: ModelFacts) -> Iterable[Found] | None:
    serving = estate.serving(facts.model)
    if serving is None:
        return UNDECIDED
    known = {version.number for version in facts.versions}
    return [(s.version, f"{s.endpoint} answers with it as {s.role}") for s in serving if s.version not in known]


def wrong_bytes(estate: Estate, facts: ModelFacts) -> Iterable[Found] | None:
    serving = estate.serving(facts.model)
    if serving is None:
        return UNDECIDED
    approved = {version.number: version.artefact_digest for version in facts.versions}
    return [
        (s.version, f"{s.endpoint} has {s.digest[:12]}… in memory, registered is {approved[s.version][:12]}…")
        for s in serving
        if s.version in approved and s.digest != approved[s.version]
    ]


def superseded_serving(estate: Estate, facts: ModelFacts) -> Iterable[Found] | None:
    """The champion of before may stay loaded, reached by testers alone, as long as the route lets it stand by."""
    return _serving_in(estate, facts, SUPERSEDED, standby=facts.route.standby if facts.route else None)


def rejected_serving(estate: Estate, facts: ModelFacts) -> Iterable[Found] | None:
    return _serving_in(estate, facts, REJECTED)


def retired_serving(estate: Estate, facts: ModelFacts) -> Iterable[Found] | None:
    return _serving_in(estate, facts, RETIRED)


def _serving_in(estate: Estate, facts: ModelFacts, state: str, standby: int | None = None) -> Iterable[Found] | None:
    """Versions in a state in which nothing may answer users. `standby` may be in memory, and no more than that."""
    serving = estate.serving(facts.model)
    if serving is None:
        return UNDECIDED
    buried = facts.model in estate.retired
    states = {version.number: RETIRED if buried else str(version.state) for version in facts.versions}
    return [
        (s.version, f"it is {state} and {s.endpoint} answers with it as {s.role}")
        for s in serving
        if states.get(s.version) == state and (s.version != standby or s.role in ANSWERING)
    ]


def route_differs(estate: Estate, facts: ModelFacts) -> Iterable[Found] | None:
    """Ledger against route, then route against servers: the champion must be served, and nothing else as champion."""
    champion = facts.champion.number if facts.champion else None
    routed = facts.route.champion if facts.route else None
    if champion != routed:
        return [(champion, f"the ledger's champion is {_named(champion)}, the route's is {_named(routed)}")]
    if _scores_tables(facts):
        return []
    serving = estate.serving(facts.model)
    if serving is None:
        return UNDECIDED
    answering = {s.version for s in serving if s.role == CHAMPION}
    if champion is not None and champion not in answering:
        return [(champion, "no server answers with it")]
    waiting = {version.number for version in facts.versions if version.state == CHALLENGER}
    return [(number, "it was never promoted, and a server answers with it") for number in sorted(answering & waiting)]


def rollout_left(estate: Estate, facts: ModelFacts) -> Iterator[Found]:
    """A step ends after `at_most`; what judges it waits twice as long before it gives up and rolls back."""
    route, bake = facts.route, facts.spec.deployment.bake if facts.spec else None
    tried = (route.canary or route.shadow) if route else None
    if route is None or bake is None or tried is None:
        return
    if route.updated_at + 2 * bake.at_most + SETTLING < estate.now:
        yield tried, f"its step stands since {route.updated_at:%Y-%m-%d %H:%M} UTC, and nobody judges it any more"


def _scores_tables(facts: ModelFacts) -> bool:
    """Whether its answers go into a table, so that no server has to answer with it and nobody calls it."""
    spec = facts.spec or facts.last_spec
    return spec is not None and spec.deployment.target == "batch"


def _named(number: int | None) -> str:
    return "none" if number is None else f"@{number}"


def idle_champion(estate: Estate, facts: ModelFacts) -> Iterable[Found] | None:
    assert facts.spec is not None
    since, quiet = champion_since(facts), estate.now - facts.spec.retirement.idle_after
    if facts.champion is None or since is None or since > quiet:
        return []
    if facts.model not in estate.traffic:
        return UNDECIDED
    if estate.traffic[facts.model].requests:
        return []
    days = facts.spec.retirement.idle_after.days
    return [(facts.champion.number, f"nobody has asked it for more than {days} days")]


def unknown_caller(estate: Estate, facts: ModelFacts) -> Iterable[Found] | None:
    assert facts.spec is not None
    if facts.champion is None or not facts.spec.consumers or _scores_tables(facts):
        return []
    if facts.model not in estate.traffic:
        return UNDECIDED
    known = {consumer.name for consumer in facts.spec.consumers} | estate.readers.get(facts.model, set())
    strangers = sorted(set(estate.traffic[facts.model].sources) - known - set(estate.service_accounts))
    return [(None, f"{name} calls it and is not among its consumers") for name in strangers]


def approval_expired(estate: Estate, facts: ModelFacts) -> Iterator[Found]:
    assert facts.spec is not None
    champion, tier = facts.champion, facts.spec.risk_tier
    promoted = facts.last(EventType.VERSION_PROMOTED, champion.number) if champion else None
    request = promoted.body.get("approval") if promoted else None
    if champion is None or request is None or tier not in estate.valid_for:
        return
    for event in facts.events:
        if event.type is EventType.APPROVAL_ANSWERED and event.body.get("request") == request:
            ends_at = event.at + estate.valid_for[tier]
            if event.body.get("state") == "approved" and estate.now >= ends_at:
                yield champion.number, f"its approval of {event.at:%Y-%m-%d} was good until {ends_at:%Y-%m-%d}"


def validation_expired(estate: Estate, facts: ModelFacts) -> Iterator[Found]:
    assert facts.spec is not None
    champion, tier = facts.champion, facts.spec.risk_tier
    if champion is None or tier is not RiskTier.HIGH or tier not in estate.valid_for:
        return
    report = documents_of(facts.events, champion.number).get(VALIDATION_REPORT)
    if report and estate.now >= (ends_at := report.at + estate.valid_for[tier]):
        yield champion.number, f"its validation report of {report.at:%Y-%m-%d} was good until {ends_at:%Y-%m-%d}"


def waiver_expired(estate: Estate, facts: ModelFacts) -> Iterator[Found]:
    champion = facts.champion
    registered = facts.last(EventType.VERSION_REGISTERED, champion.number) if champion else None
    if champion is None or registered is None:
        return
    live = {waiver.id for waiver in live_waivers(facts.events, estate.now)}
    for waiver in registered.body.get("waivers", ()):
        if waiver["id"] not in live:
            yield champion.number, f"it serves under a waiver of {waiver['gate']} that has ended (by {waiver['by']})"


def source_gone(estate: Estate, facts: ModelFacts) -> Iterable[Found] | None:
    if facts.champion is None:
        return []
    if facts.model not in estate.sources:
        return UNDECIDED
    why = estate.sources[facts.model]
    return [] if why is None else [(None, f"its data cannot be read: {why}")]


def retired_but_declared(estate: Estate, facts: ModelFacts) -> Iterator[Found]:
    stone = tombstone_of(facts.events)
    if stone and (facts.spec or facts.fault):
        yield None, f"it was retired on {stone.at:%Y-%m-%d} and its folder is still there"


def past_review(estate: Estate, facts: ModelFacts) -> Iterator[Found]:
    if facts.external is not None:
        due: datetime | None = facts.external.review_due
    elif facts.champion is None or _glass_due(facts):
        due = None
    else:
        due = review_due(facts)
    if due and estate.now >= due:
        yield None, f"somebody was to look at it by {due:%Y-%m-%d}"


def review_overdue(estate: Estate, facts: ModelFacts) -> Iterator[Found]:
    due = _glass_due(facts)
    if due and facts.model not in estate.retired and estate.now >= due[1]:
        yield due[0], f"it was released by breaking the glass; the review was due {due[1]:%Y-%m-%d %H:%M} UTC"


def _glass_due(facts: ModelFacts) -> tuple[int | None, datetime] | None:
    """The version released by breaking the glass and not reviewed since, and when it must be."""
    due: tuple[int | None, datetime] | None = None
    for event in facts.events:
        if event.type is EventType.GLASS_BROKEN:
            due = (event.version, parse_instant(event.body["review_by"]))
        elif event.type is EventType.MODEL_REVIEWED:
            due = None
    return due


def alias_differs(estate: Estate, facts: ModelFacts) -> Iterable[Found] | None:
    if not facts.versions:
        return []
    if estate.aliases is None or facts.model in estate.moving:
        return UNDECIDED
    waiting = [version.number for version in facts.versions if version.state == CHALLENGER]
    wanted = {"champion": facts.champion.number if facts.champion else None, "challenger": max(waiting, default=None)}
    present = estate.aliases.get(facts.model, {})
    differ = {alias: present.get(alias) for alias, number in wanted.items() if present.get(alias) != number}
    return [
        (wanted[alias], f"@{alias} points at {_named(found)}, the ledger says {_named(wanted[alias])}")
        for alias, found in differ.items()
    ]


def registered_nowhere(estate: Estate, facts: ModelFacts) -> Iterable[Found] | None:
    if estate.aliases is None:
        return UNDECIDED
    known = facts.versions or facts.events or facts.spec or facts.fault or facts.external
    if known or facts.model not in estate.aliases:
        return []
    return [(None, "the registry lists it, and the ledger has never heard of it")]


def upstream_retired(estate: Estate, facts: ModelFacts) -> Iterator[Found]:
    declared = facts.spec or facts.external
    if declared is None or facts.model in estate.retired:
        return
    for upstream in declared.upstream:
        if upstream in estate.retired:
            yield None, f"it reads the answers of {upstream}, which is retired"


def broken_spec(estate: Estate, facts: ModelFacts) -> Iterator[Found]:
    if facts.fault is not None and facts.model not in estate.retired:
        yield None, facts.fault


def undeclared(estate: Estate, facts: ModelFacts) -> Iterator[Found]:
    declared = facts.spec or facts.fault or facts.external or facts.model in estate.retired
    if not declared and (facts.versions or facts.events):
        serves = f"@{facts.champion.number} serves" if facts.champion else "nothing of it serves"
        yield None, f"the ledger knows it, no folder declares it, and {serves}"


RULES: tuple[Rule, ...] = (
    Rule("served_unregistered", "high", "take it off the server; find out who put it there", served_unregistered),
    Rule("wrong_bytes", "high", "take it off: `steward rollback {model}`; see who wrote to the store", wrong_bytes),
    Rule("rejected_serving", "high", "restart the server; its routing table is too old", rejected_serving),
    Rule("retired_serving", "high", "restart the server; nothing of a retired model may answer", retired_serving),
    Rule("review_overdue", "high", "somebody else reviews it: `steward review {model}`", review_overdue),
    Rule("route_differs", "high", "see `steward audit verify --state`, then restart the server", route_differs),
    Rule("rollout_left", "high", "end it: `steward rollback {model}`", rollout_left, needs_spec=True),
    Rule("undeclared", "high", "put its folder back, or retire the model", undeclared),
    Rule("no_owner", "high", "name an owner in inventory.yaml", no_owner),
    Rule("owner_gone", "medium", "name another owner in its model.yaml", owner_gone),
    Rule("superseded_serving", "medium", "restart the server; it follows an old route", superseded_serving),
    Rule("no_monitor", "medium", "switch on the DAG {model}__monitor", no_monitor, needs_spec=True),
    Rule("silent_monitor", "medium", "look at the last runs of {model}__monitor", silent_monitor, needs_spec=True),
    Rule(
        "approval_expired",
        "medium",
        "train and approve a version, or have it reviewed and approved anew",
        approval_expired,
        needs_spec=True,
    ),
    Rule("validation_expired", "medium", "file a new validation report", validation_expired, needs_spec=True),
    Rule("waiver_expired", "medium", "release a version that passes, or have the gate waived anew", waiver_expired),
    Rule("past_review", "medium", "a person who may approve looks at it: `steward review {model}`", past_review),
    Rule("source_gone", "medium", "mend load() or its source: it can neither be retrained nor judged", source_gone),
    Rule("upstream_retired", "medium", "read another model, or retire this one too", upstream_retired),
    Rule("broken_spec", "medium", "`steward check` names every fault", broken_spec),
    Rule("unknown_caller", "low", "name the caller under consumers, or stop it", unknown_caller, needs_spec=True),
    Rule("idle_champion", "low", "retire it, or find out why nobody calls", idle_champion, needs_spec=True),
    Rule("alias_differs", "low", "find out who moves aliases by hand; the audit sets them back", alias_differs),
    Rule("retired_but_declared", "low", "delete its folder; git keeps it", retired_but_declared),
    Rule("registered_nowhere", "low", "register it through Steward, or leave it to its owner", registered_nowhere),
)
RULE_NAMES = frozenset(rule.name for rule in RULES) | {ESTATE_UNKNOWN}
