"""Gathering the facts of the whole portfolio: one read per table, one question per server. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import ceil
from typing import TypeVar

from steward.actions.candidates.preparing import read_source
from steward.actions.governance.facts import Declared, Tables, facts_of_all, training_data
from steward.actions.operation import day_of
from steward.actions.state import Services, Transaction
from steward.data import Traffic
from steward.errors import StewardError
from steward.inventory.build import build_inventory
from steward.inventory.external import ExternalModel
from steward.inventory.past import PAST_EVENTS, past_facts
from steward.inventory.record import RECORD_EVENTS, InventoryRecord, ModelFacts, Places
from steward.inventory.rules import RULES
from steward.inventory.zombies import Assessment, Estate, assess
from steward.ledger import ALL_MODELS, EventType
from steward.types import RiskTier, Window, digest_of

AUDIT_EVENTS = (*RECORD_EVENTS, EventType.APPROVAL_ANSWERED)
PROBES_A_NIGHT = 20
PROBE_LIMIT = timedelta(seconds=30)

SERVERS, LOG, REGISTRY = "model servers", "prediction log", "registry"


def inventory(services: Services, places: Places, at: datetime | None = None) -> list[InventoryRecord]:
    """Every model there is, by id; with `at`, as the ledger knew them then."""
    now = at or services.clock.now()
    external = [
        ModelFacts(model.id, external=model)
        for model in services.external().external_models
        if at is None or model.registered_on <= at.date()
    ]
    if at is not None:
        with services.database.begin() as tx:
            told = past_facts(e for e in tx.events.read(types=PAST_EVENTS, until=at) if e.model != ALL_MODELS)
        return build_inventory([*told, *external], now, places)
    declared = Declared.read(services)
    with services.database.begin() as tx:
        tables = Tables.read(tx, RECORD_EVENTS)
        facts = facts_of_all(declared, tx, tables, training_data(tx, tables))
    return build_inventory([*facts, *external], now, places)


def survey(services: Services, *, probe: bool) -> Assessment:
    """Judge the whole estate. With `probe`, the data sources whose turn it is today are read too."""
    declared = Declared.read(services)
    with services.database.begin() as tx:
        tables = Tables.read(tx, AUDIT_EVENTS)
        facts = [_with_waivers(tx, f) for f in facts_of_all(declared, tx, tables, training_data(tx, tables))]
    watched = {*tables.incidents} - {ALL_MODELS}
    before = {model: route.epoch for model, route in tables.routes.items()}
    asked = _Asked()
    served = asked.ask(SERVERS, services.served.served)
    aliases = asked.ask(REGISTRY, services.mirror.listing)
    traffic = asked.ask(LOG, lambda: _traffic(services, facts))
    with services.database.begin() as tx:
        moving = {route.model for route in tx.routes.all() if before.get(route.model) != route.epoch}
    policy, external = services.policy(), services.external()
    also = {version.model for version in served or ()} | set(aliases or ()) | watched
    estate = Estate(
        now=services.clock.now(),
        models=_completed(facts, external.external_models, also),
        people={name: person.left_on for name, person in policy.people.items()},
        valid_for={tier.value: policy.tier(tier).valid_for for tier in RiskTier},
        served=served,
        traffic=traffic or {},
        sources=_probed(services, facts) if probe else {},
        aliases=aliases,
        moving=moving,
        service_accounts=external.service_accounts,
        unknown=asked.unknown,
    )
    return assess(estate, RULES)


T = TypeVar("T")


@dataclass
class _Asked:
    """Who was asked; what did not answer is kept with its reason."""

    unknown: dict[str, str] = field(default_factory=dict)

    def ask(self, what: str, question: Callable[[], T]) -> T | None:
        try:
            return question()
        except StewardError as error:
            self.unknown[what] = error.what
            return None


def _with_waivers(tx: Transaction, facts: ModelFacts) -> ModelFacts:
    """With the registrations of a model that ever had a waiver: they say under which it went on, and are large."""
    if facts.champion is None or facts.last(EventType.WAIVER_GRANTED) is None:
        return facts
    registered = tx.events.read(model=facts.model, types=[EventType.VERSION_REGISTERED])
    return replace(facts, events=sorted([*facts.events, *registered], key=lambda event: event.seq))


def _traffic(services: Services, facts: Sequence[ModelFacts]) -> dict[str, Traffic]:
    """Of every champion, since its `idle_after`."""
    now = services.clock.now()
    return {
        each.model: services.predictions.traffic(each.model, now - each.spec.retirement.idle_after)
        for each in facts
        if each.champion and each.spec
    }


def _completed(facts: Sequence[ModelFacts], external: Sequence[ExternalModel], also: Iterable[str]) -> list[ModelFacts]:
    """With the models that run elsewhere, and those that only a server, a registry or an incident speaks of."""
    known = {each.model: each for each in facts} | {m.id: ModelFacts(m.id, external=m) for m in external}
    return [*known.values(), *(ModelFacts(model) for model in sorted(set(also) - set(known)))]


def _probed(services: Services, facts: Sequence[ModelFacts]) -> dict[str, str | None]:
    """Whether the data of champions can still be read: some every night, each for a bounded time.

    Up to PROBES_A_NIGHT all of them; of more, those whose turn it is, so that each is read once in some nights.
    """
    champions = [each for each in facts if each.champion and each.spec]
    day = day_of(services, None)
    nights = max(1, ceil(len(champions) / PROBES_A_NIGHT))
    tonight = [each for each in champions if int(digest_of(each.model)[:8], 16) % nights == day.toordinal() % nights]
    return {each.model: _why_unreadable(services, each, day) for each in tonight}


def _why_unreadable(services: Services, facts: ModelFacts, day: datetime) -> str | None:
    assert facts.spec is not None
    window = Window.ending(day, facts.spec.monitoring.window.length)
    try:
        read_source(services, facts.spec, window, day, PROBE_LIMIT)
    except StewardError as error:
        # Without the dates in it: tonight's trouble must read as last night's did.
        return error.what.replace(str(window), f"of the last {window.length.days} days")
    return None
