"""An estate of 200 models with zombies of every rule in it, and models that only look like one.

Everything goes in the way actions put it: specs as files, versions and events through the tables, answers through the
prediction log. `python -m tests.unit.inventory.estate` prints what the audit finds of it.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from steward.actions.governance import surveying
from steward.actions.state import Database, Services
from steward.approval.policy import Person, load_policy
from steward.data import PREDICTION_COLUMNS
from steward.gates import Evidence, Outcome
from steward.inventory import ServedVersion
from steward.inventory.external import ExternalModel, ExternalModels
from steward.inventory.rules import RULES
from steward.inventory.zombies import Assessment
from steward.ledger import EventDraft, EventType
from steward.monitoring.windows import JudgedWindow
from steward.registry import State
from steward.rollout import Route
from steward.spec import SpecFolder
from steward.testing import FakeDatabase, FrozenClock
from steward.testing.builders import a_new_version
from steward.testing.services import services_in_memory
from steward.types import VersionRef, Window, digest_of

MODELS, PER_RULE = 200, 4
NOW = datetime(2026, 11, 20, 2, 30, tzinfo=UTC)
DAY = timedelta(days=1)
ENDPOINTS = ("http://one:8000", "http://two:8000")
PEOPLE = ("ravi", "mo", "vera", "dana")

MODEL_YAML = """
model: {model}
title: A model of the estate
purpose: To be audited.
owner: {{team: tests, name: Somebody, email: {owner}@example.com, user: {owner}}}
risk_tier: {tier}
consumers: {consumers}
upstream: {upstream}
task: binary_classification
data:
  id: id
  time: at
  label: {{column: y}}
  features: {{x: {{type: number}}}}
  min_rows: 10
training: {{window: {{days: 20}}}}
evaluation: {{holdout: {{days: 5}}, metrics: {{roc_auc: {{min: 0.7}}}}}}
deployment: {{strategy: direct, steps: [100], bake: {{requests: 100, at_most: 2h}}}}
monitoring: {{schedule: "{schedule}"}}
retirement: {{idle_after: 30d}}
"""
MODEL_PY = """
import pandas as pd

def load(start, end):
    {gone}
    return pd.DataFrame({{"id": ["a", "b"], "at": [start, start], "x": [0.0, 1.0], "y": [0.0, 1.0]}})

def build(params): ...
"""


@dataclass
class Life:
    """What one model is to look like; a plant changes some of it before it is put in."""

    model: str
    owner: str
    tier: str = "medium"
    consumers: tuple[str, ...] = ("desk",)
    upstream: tuple[str, ...] = ()
    schedule: str = "@daily"
    declared: bool = True
    broken: bool = False
    source_gone: bool = False
    older: tuple[State, ...] = (State.SUPERSEDED, State.REJECTED)
    challenger: bool = False
    stepped_at: datetime = NOW - timedelta(hours=3)
    champion: bool = True
    since: datetime = NOW - 60 * DAY
    approved_at: datetime | None = None
    report_at: datetime | None = None
    judged_at: datetime | None = NOW - timedelta(hours=20)
    asked_at: datetime | None = NOW - timedelta(hours=9)
    callers: tuple[str | None, ...] = ("desk", None)
    reviewed_at: datetime | None = None
    glass_review_by: datetime | None = None
    glass_reviewed: bool = False
    waiver_until: datetime | None = None
    rolled_back: bool = False
    tombstone: bool = False
    route_champion: int | None = None
    alias: int | None = None
    served: list[tuple[str, int, str, str | None]] | None = None  # endpoint, version, role, digest

    @property
    def number(self) -> int:
        return len(self.older) + 1


@dataclass
class PlantedEstate:
    services: Services
    truth: set[tuple[str, str]] = field(default_factory=set)  # (model, rule)
    healthy: list[str] = field(default_factory=list)

    def assess(self) -> Assessment:
        return surveying.survey(self.services, probe=True)

    def compare(self, found: Assessment) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
        """What was missed, and what was found without having been planted."""
        seen = {(finding.model, finding.rule) for finding in found.findings}
        return self.truth - seen, seen - self.truth


def digest(model: str, number: int) -> str:
    return digest_of([model, number])


# --- one plant for each rule: how it shows in a life, or in what surrounds it ---------------------------------------

Plant = Callable[[Life], None]


def _set(**changes: Any) -> Plant:
    def plant(life: Life) -> None:
        for name, value in changes.items():
            assert hasattr(life, name)
            setattr(life, name, value)

    return plant


def _serves(version: Callable[[Life], int], role: str, digest_: str | None = None) -> Plant:
    """One more answer at the second endpoint."""

    def plant(life: Life) -> None:
        life.served = [(ENDPOINTS[0], life.number, "champion", None), (ENDPOINTS[1], version(life), role, digest_)]

    return plant


def _buried(life: Life) -> None:
    _set(tombstone=True, declared=False, champion=False, alias=None, judged_at=None, asked_at=None, served=[])(life)


def _buried_and_serving(life: Life) -> None:
    _buried(life)
    life.served = [(ENDPOINTS[0], life.number, "champion", None)]


def _buried_and_declared(life: Life) -> None:
    _buried(life)
    life.declared = True


def _abandoned(life: Life) -> None:
    """Its owner has left, or was never one of us."""
    life.owner = "left" if int(life.model[1:]) % 2 else "nobody_here"


PLANTS: dict[str, Plant] = {
    "served_unregistered": _serves(lambda life: life.number + 7, "canary"),
    "wrong_bytes": _serves(lambda life: life.number, "champion", digest_of("somebody else's bytes")),
    "rejected_serving": _serves(lambda life: 2, "canary"),
    "superseded_serving": _serves(lambda life: 1, "champion"),
    "retired_serving": _buried_and_serving,
    "review_overdue": _set(glass_review_by=NOW - DAY),
    "route_differs": _set(route_champion=1),
    "rollout_left": _set(challenger=True, stepped_at=NOW - DAY),
    "undeclared": _set(declared=False),
    "owner_gone": _abandoned,
    "no_monitor": _set(judged_at=None),
    "silent_monitor": _set(judged_at=NOW - 9 * DAY),
    "approval_expired": _set(
        tier="medium", since=NOW - 370 * DAY, approved_at=NOW - 371 * DAY, reviewed_at=NOW - 30 * DAY
    ),
    "validation_expired": _set(tier="high", report_at=NOW - 200 * DAY),
    "waiver_expired": _set(waiver_until=NOW - DAY),
    "past_review": _set(since=NOW - 380 * DAY, approved_at=NOW - 100 * DAY),
    "source_gone": _set(source_gone=True),
    "upstream_retired": _set(upstream=("buried_000",)),
    "broken_spec": _set(broken=True),
    "unknown_caller": _set(callers=("desk", "somebody-else")),
    "idle_champion": _set(asked_at=NOW - 40 * DAY),
    "alias_differs": _set(alias=1),
    "retired_but_declared": _buried_and_declared,
}
ELSEWHERE = ("no_owner", "registered_nowhere")  # planted outside the specs

# --- lives that only look like a zombie's ---------------------------------------------------------------------------

LOOKALIKES: tuple[Plant, ...] = (
    _set(),
    _set(since=NOW - timedelta(hours=2), judged_at=None, asked_at=None),  # released tonight
    _set(champion=False, served=[], judged_at=None, asked_at=None, alias=None),  # never released
    _set(champion=False, older=(), served=[], judged_at=None, asked_at=None, alias=None),  # never trained
    _set(schedule="0 3 * * 0", judged_at=NOW - 8 * DAY),  # watched once a week
    _set(asked_at=NOW - 28 * DAY),
    _set(callers=("probe", None)),  # a service account
    _set(waiver_until=NOW + 5 * DAY),
    _set(glass_review_by=NOW + DAY),
    _set(glass_review_by=NOW - 3 * DAY, glass_reviewed=True),
    _set(rolled_back=True),
    _set(challenger=True),
    _set(tier="high", report_at=NOW - 170 * DAY, since=NOW - 60 * DAY),
    _set(since=NOW - 360 * DAY, approved_at=NOW - 362 * DAY, reviewed_at=NOW - 200 * DAY),
    _set(since=NOW - 330 * DAY),  # its first version served for the first time 360 days ago
    _set(tier="low", since=NOW - 500 * DAY, reviewed_at=NOW - 300 * DAY),
    _set(owner="leaving"),  # next week
    _set(consumers=(), callers=("anybody",)),
    _buried,
)


def plant_estate(
    folder: Path,
    models: int = MODELS,
    per_rule: int = PER_RULE,
    seed: int = 11,
    database: Callable[[FrozenClock], Database] = FakeDatabase,
) -> PlantedEstate:
    """`per_rule` zombies of every rule among `models`; the others are sound, each in its own way."""
    draw, clock = random.Random(seed), FrozenClock(NOW)
    (folder / "models").mkdir()
    policy = load_policy(Path(__file__).parents[3] / "include" / "policy.yaml")
    people = {
        **policy.people,
        "leaving": Person(left_on=NOW.date() + 7 * DAY),
        "left": Person(left_on=date(2026, 1, 1)),
    }
    policy = policy.model_copy(update={"people": people})
    services = services_in_memory(SpecFolder(folder / "models"), policy, clock, folder)
    services = replace(services, database=database(clock))
    estate = PlantedEstate(services)
    lives = [("buried_000", None, _buried), *_drawn(draw, models, per_rule)]
    for name, rule, plant in lives:
        life = Life(name, owner=draw.choice(PEOPLE), tier=draw.choice(("low", "medium", "medium")))
        plant(life)
        if rule is None:
            estate.healthy.append(name)
        else:
            estate.truth.add((name, rule))
        _put_in(services, clock, folder / "models", life)
    _put_elsewhere(estate, per_rule)
    clock.set(NOW)
    return estate


def _drawn(draw: random.Random, models: int, per_rule: int) -> list[tuple[str, str | None, Plant]]:
    planted: list[tuple[str | None, Plant]] = [(rule, plant) for rule, plant in PLANTS.items() for _ in range(per_rule)]
    sound = models - len(planted) - (len(ELSEWHERE) + 1) * per_rule - 1
    planted += [(None, LOOKALIKES[place % len(LOOKALIKES)]) for place in range(sound)]
    draw.shuffle(planted)
    return [(f"m{place:03d}", rule, plant) for place, (rule, plant) in enumerate(planted)]


def _put_elsewhere(estate: PlantedEstate, per_rule: int) -> None:
    """External models with and without an owner, and models only the registry knows."""
    owner = {"team": "risk", "name": "Vera", "email": "vera@example.com", "user": "vera"}
    rows = []
    for place in range(per_rule):
        for name, given in ((f"vendor_{place}", owner), (f"orphan_{place}", None)):
            row = {"id": name, "title": "T", "purpose": "P", "risk_tier": "low", "runs_on": "a vendor", "owner": given}
            rows.append(ExternalModel.model_validate({**row, "registered_on": "2026-05-01"}))
        estate.truth.add((f"orphan_{place}", "no_owner"))
        estate.services.mirror.aliases[f"stray_{place}", "champion"] = 1
        estate.truth.add((f"stray_{place}", "registered_nowhere"))
    declared = ExternalModels(external_models=tuple(rows), service_accounts=("probe",))
    estate.services = replace(estate.services, external=lambda: declared)


def _put_in(services: Services, clock: FrozenClock, models: Path, life: Life) -> None:
    _write_files(models, life)
    if (not life.older and not life.champion) or life.broken:
        return
    with services.database.begin() as tx:
        telling, born = Telling(tx, clock, life), life.since - DAY
        telling.older(born)
        telling.registration(born)
        if life.champion or life.tombstone:
            telling.release(born)
        telling.afterwards()
    _put_around(services, life)


def _write_files(models: Path, life: Life) -> None:
    if not life.declared:
        return
    text = MODEL_YAML.format(
        model=life.model,
        owner=life.owner,
        tier=life.tier,
        schedule=life.schedule,
        consumers=[{"name": name, "contact": f"{name}@example.com"} for name in life.consumers],
        upstream=list(life.upstream),
    )
    (models / life.model).mkdir()
    (models / life.model / "model.yaml").write_text(text.replace("task:", "taks:") if life.broken else text)
    gone = 'raise FileNotFoundError("warehouse")' if life.source_gone else "pass"
    (models / life.model / "model.py").write_text(MODEL_PY.format(gone=gone))


@dataclass(frozen=True)
class Telling:
    """One life, told to the tables inside a transaction, event by event."""

    tx: Any
    clock: FrozenClock
    life: Life

    def say(self, _kind: EventType, _version: int | None, _at: datetime, **body: Any) -> None:
        self.clock.set(_at)
        said = EventDraft(
            _kind, self.life.model, "airflow:run", "it was so", _version, body.pop("evidence", None), body
        )
        self.tx.events.append(said)

    def add(self, number: int, *states: State, **evidence: str) -> None:
        """A version that goes from challenger through these states."""
        model, before = self.life.model, State.CHALLENGER
        new = a_new_version(model=model, artefact_digest=digest(model, number), evidence=evidence)
        self.tx.versions.add(new)
        for after in states:
            self.tx.versions.move(VersionRef(model, number), before, after)
            before = after

    def older(self, born: datetime) -> None:
        for number, state in enumerate(self.life.older, start=1):
            came = (State.CHAMPION, state) if state is State.SUPERSEDED else (state,)
            self.add(number, *came)
            self.say(EventType.VERSION_REGISTERED, number, born - 30 * DAY)
            if state is State.SUPERSEDED:
                self.say(EventType.VERSION_PROMOTED, number, born - 29 * DAY, approval=None, replaced=None)

    def registration(self, born: datetime) -> None:
        life, waivers = self.life, []
        if life.waiver_until:
            waiver = {"gate": "threshold.roc_auc", "by": "vera", "role": "risk_officer"}
            waivers = [{"id": f"w-{life.model}", **waiver}]
            granted = {"waiver": f"w-{life.model}", "expires_at": life.waiver_until, **waiver}
            self.say(EventType.WAIVER_GRANTED, None, born - DAY, **granted)
        snapshot = self.tx.evidence.put(Evidence("snapshot", life.model, {"snapshot": {"table": "t", "version": 0}}))
        self.say(EventType.VERSION_REGISTERED, life.number, born, waivers=waivers)
        served = (State.CHAMPION,) if life.champion or life.tombstone else ()
        self.add(life.number, *served, *((State.RETIRED,) if life.tombstone else ()), snapshot=snapshot)

    def release(self, born: datetime) -> None:
        life, number = self.life, self.life.number
        if life.report_at:
            told = {"kind": "validation_report", "title": "Report", "evidence": digest_of("report")}
            self.say(EventType.DOCUMENT_FILED, number, life.report_at, **told)
        request = None if life.tier == "low" else f"request-{life.model}"
        if life.glass_review_by:
            self.say(EventType.GLASS_BROKEN, number, born, request=request, review_by=life.glass_review_by)
        elif request:
            self.say(
                EventType.APPROVAL_ANSWERED,
                number,
                life.approved_at or born,
                request=request,
                approved=True,
                state="approved",
            )
        self.say(EventType.VERSION_PROMOTED, number, life.since, approval=request, replaced=1)
        if life.rolled_back:
            self.say(EventType.ROLLOUT_ROLLED_BACK, number + 1, life.since + DAY, to=number)
        if at := life.reviewed_at or (life.since if life.glass_reviewed else None):
            self.say(EventType.MODEL_REVIEWED, number, at, next_review_at=at + 365 * DAY)

    def afterwards(self) -> None:
        life, number = self.life, self.life.number
        if life.challenger:
            self.add(number + 1)
            self.say(EventType.VERSION_REGISTERED, number + 1, NOW - DAY)
        if life.tombstone:
            self.say(EventType.MODEL_RETIRED, number, NOW - 5 * DAY, keep_until=NOW + 1000 * DAY, archive="archive")
        if life.judged_at:
            window, at = Window.ending(life.judged_at, 7 * DAY), life.judged_at
            self.tx.windows.record(JudgedWindow(life.model, number, window, Outcome.PASSED, (), digest_of("w"), at))
        if life.champion:
            canary, champion = number + 1 if life.challenger else None, life.route_champion or number
            self.tx.routes.set(Route(life.model, champion, canary, 5 if canary else 0, 3, life.stepped_at))


def _put_around(services: Services, life: Life) -> None:
    """What servers answer with, who asked, and what the registry shows."""
    served = life.served
    if served is None and life.champion:
        served = [(endpoint, life.number, "champion", None) for endpoint in ENDPOINTS]
        served += [(ENDPOINTS[0], life.number + 1, "canary", None)] if life.challenger else []
    for endpoint, version, role, bytes_ in served or []:
        found = ServedVersion(endpoint, life.model, version, bytes_ or digest(life.model, version), role)
        services.served.versions.append(found)
    if life.asked_at:
        services.predictions.append(life.model, _rows(life))
    aliases = services.mirror.aliases
    aliases[life.model, "champion"] = (life.alias or life.number) if life.champion else None
    waiting = life.number + 1 if life.challenger else life.number if not life.champion and not life.tombstone else None
    aliases[life.model, "challenger"] = waiting


def _rows(life: Life) -> pa.Table:
    count = len(life.callers)
    rows: dict[str, list[Any]] = {
        **{name: [None] * count for name in PREDICTION_COLUMNS},
        "decision_id": [f"d{place}" for place in range(count)],
        "request_key": ["k"] * count,
        "version": [life.number] * count,
        "role": ["champion"] * count,
        "epoch": [3] * count,
        "at": [life.asked_at] * count,
        "recorded_at": [life.asked_at] * count,
        "latency_ms": [1.0] * count,
        "score": [0.5] * count,
        "source": list(life.callers),
    }
    named = {"string": pa.string(), "int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64()}
    schema = [(name, named.get(kind, pa.timestamp("us", "UTC"))) for name, kind in PREDICTION_COLUMNS.items()]
    return pa.table(rows, schema=pa.schema(schema))


def main() -> None:
    surveying.PROBES_A_NIGHT = MODELS
    with tempfile.TemporaryDirectory() as folder:
        estate = plant_estate(Path(folder))
        found = estate.assess()
    missed, false = estate.compare(found)
    shown = len(estate.truth) - len(missed)
    share = len(false) / len(found.findings)
    print(f"{found.models} models, {len(RULES)} rules, {len(estate.truth)} zombies planted")
    print(f"found {shown} of {len(estate.truth)}; {len(false)} false ({share:.1%} of {len(found.findings)} findings)")
    for name, pairs in (("missed", missed), ("false", false)):
        for model, rule in sorted(pairs):
            print(f"  {name}: {model} {rule}")


if __name__ == "__main__":
    main()
