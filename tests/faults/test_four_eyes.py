"""Ten thousand random lives, over every door, by people with random roles: nobody releases their own work alone.

The people try whatever comes to mind, with ids and digests that are right, stale or invented. After every step the
record is read anew, by rules written here and not by those of the actions.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.actions.conftest import MODEL_YAML, Life, build_life
from tests.unit.actions.test_documents import HIGH, file, text_of

from steward import actions
from steward.actions.governance.verifying import differences
from steward.actions.state import Services
from steward.approval import RequestState
from steward.approval.policy import Freeze, Person, Policy
from steward.errors import StewardError
from steward.gates import Finding, Outcome
from steward.ledger import GENESIS_HASH, AuditEvent, EventType, documents_of, event_of, hash_of
from steward.registry import State
from steward.rollout import RolloutState
from steward.rollout.analysis import Arm, Observation
from steward.testing import FakeDatabase, FrozenClock
from steward.testing.database import FAKE_KEY
from steward.types import JsonObject, VersionRef

pytestmark = pytest.mark.faults

SEQUENCES, STEPS = 10_000, 8
PEOPLE = ("dana", "ravi", "mo", "vera", "olga", "mallory")
ROLES = ("approver", "validator", "risk_officer", "incident_commander")
TRAINERS = ("dana", "ravi", "mo")
OWNER = "olga"
QUORUM = {"medium": 1, "high": 2}
FORGED = "f" * 32
LOTS = random.Random()  # what canaries show; seeded anew for every sequence


@dataclass
class Template:
    """A model with three candidates, each trained by somebody else; every sequence begins here."""

    life: Life
    trained: list[JsonObject]
    text: str

    @classmethod
    def build(cls, folder: Any, yaml: str) -> Template:
        life = build_life(folder, yaml)
        high = life.spec.risk_tier == "high"
        for kind in ("use_case", "development_plan", "monitoring_plan", "retirement_plan") if high else ():
            file(life, kind)
        trained = [life.train({"C": n / 10}, f"airflow:{who}") for n, who in enumerate(TRAINERS, start=3)]
        for each in trained if high else ():
            file(life, "validation_report", each["version"], by="vera")
        return cls(life, trained, text_of(life, "data_sheet"))


@dataclass
class World:
    """One sequence. `approved` maps a request and the evidence it was answered on to those who said yes."""

    template: Template
    rng: random.Random
    services: Services = field(init=False)
    policy: Policy = field(init=False)
    trace: list[str] = field(default_factory=list)
    seen: int = 0
    head: str = GENESIS_HASH
    asked: dict[str, AuditEvent] = field(default_factory=dict)
    approved: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    overridden: set[str] = field(default_factory=set)
    artefacts: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    happened: Counter[str] = field(default_factory=Counter)
    subject: int = 1  # the version that most of this sequence is about

    def __post_init__(self) -> None:
        life = self.template.life
        clock = FrozenClock(life.clock.now())
        database = FakeDatabase(clock)
        database._state = life.services.database._state.draft()
        self.subject = self.rng.choice((1, 2, 3))
        self.change_roles()
        self.services = replace(
            life.services, database=database, clock=clock, policy=lambda: self.policy, wall=clock.now
        )

    @property
    def spec(self) -> Any:
        return self.template.life.spec

    @property
    def tier(self) -> str:
        return str(self.spec.risk_tier)

    @property
    def state(self) -> Any:
        return self.services.database._state

    # --- what people try ------------------------------------------------------------------------

    def change_roles(self) -> None:
        """People come, go and change; now and then nothing may be released."""
        people = {name: Person(roles=tuple(r for r in ROLES if self.rng.random() < 0.6)) for name in PEOPLE[:-1]}
        days = [self.template.life.clock.now().date() + timedelta(days=n) for n in (self.rng.randrange(9), 9)]
        freeze = (Freeze(start=days[0], end=days[1], reason="year end"),) if self.rng.random() < 0.15 else ()
        self.policy = self.template.life.services.policy().model_copy(update={"people": people, "freeze": freeze})

    def run_of(self, version: int) -> str:
        known = [each["run"] for each in self.template.trained if each["version"] == version]
        return self.rng.choice([*known, "elsewhere"]) if self.rng.random() < 0.1 else (known or ["run9"])[0]

    def a_version(self) -> int:
        return self.subject if self.rng.random() < 0.85 else self.rng.choice((1, 2, 3, 4))

    def a_request(self) -> Any:
        known = list(self.state.requests.values())
        return self.rng.choice(known) if known and self.rng.random() < 0.97 else None

    def a_rollout(self) -> str:
        known = [rollout.id for rollout in self.state.rollouts.values()]
        return self.rng.choice(known) if known and self.rng.random() < 0.95 else FORGED

    def who(self) -> str:
        return self.rng.choice(PEOPLE)

    def airflow(self, action: str, version: int | None = None, **inputs: Any) -> Any:
        run = self.run_of(version or self.rng.choice((1, 2, 3)))
        given = {"version": version, **inputs} if version else inputs
        return getattr(actions, action)(self.services, self.spec, run=run, actor=f"airflow:{self.who()}", **given)

    def decide(self, action: str, **fields: Any) -> Any:
        via = self.rng.choice(("airflow", "cli", "api"))
        return getattr(actions, action)(self.services, model="toy", by=self.who(), via=via, **fields)

    def ask(self) -> Any:
        return self.airflow("request_approval", self.a_version())

    def answer(self) -> Any:
        request = self.a_request()
        evidence = request.evidence if request and self.rng.random() < 0.95 else "e" * 64
        return actions.answer_approval(
            self.services,
            request=request.id if request else FORGED,
            by=self.who(),
            approved=self.rng.random() < 0.9,
            reason="looked at it",
            evidence=evidence,
            via=self.rng.choice(("airflow", "cli", "api")),
        )

    def expire(self) -> Any:
        request = self.a_request()
        self.services.clock.advance(timedelta(days=self.rng.choice((0, 4))))
        if request and (self.services.clock.now() >= request.expires_at):
            return actions.expire_approval(self.services, request=request.id, actor="airflow:timer")
        return None

    def file(self) -> Any:
        text = self.template.text + f"\nPage {self.rng.randrange(3)}.\n"
        version = self.rng.choice((None, self.a_version()))
        return self.decide("file_document", kind="data_sheet", title="Data", text=text, version=version)

    def waive(self) -> Any:
        until = f"{self.services.clock.now() + timedelta(days=self.rng.choice((2, 30, 400))):%Y-%m-%d}"
        gate = self.rng.choice(("roc_auc", "champion.*", "nothing"))
        return self.decide("grant_waiver", gate=gate, until=until, reason="for now", version=self.rng.choice((None, 1)))

    def revoke(self) -> Any:
        granted = [e.body["waiver"] for e in self.events(EventType.WAIVER_GRANTED)]
        return self.decide("revoke_waiver", waiver=self.rng.choice([*granted, FORGED]), reason="no longer")

    def break_glass(self) -> Any:
        return self.decide("break_glass", version=self.a_version(), reason="customers stand in the rain")

    def review(self) -> Any:
        return self.decide("review_model", reason="looked at all of it")

    def start(self) -> Any:
        return self.airflow("start_rollout", self.a_version())

    def shift(self) -> Any:
        return self.airflow("shift_traffic", rollout=self.a_rollout(), percent=self.rng.choice((20, 50, 100)))

    def analyse(self) -> Any:
        return self.airflow("analyse_canary", rollout=self.a_rollout())

    def complete(self) -> Any:
        return self.airflow("complete_rollout", rollout=self.a_rollout())

    def release(self) -> None:
        """What the DAG does, in order; any step may be refused."""
        started = self.airflow("start_rollout", self.a_version())
        for percent in (20, 50):
            self.airflow("shift_traffic", rollout=started["rollout"], percent=percent)
            self.airflow("analyse_canary", rollout=started["rollout"])
        self.airflow("complete_rollout", rollout=started["rollout"])

    def settle(self) -> Any:
        return self.airflow("settle_rollout", reason="the run ended")

    def roll_back(self) -> Any:
        return actions.roll_back(self.services, self.spec, actor=f"cli:{self.who()}", reason="looks wrong")

    def trip(self) -> Any:
        return actions.trip_canary(
            self.services, self.spec, version=self.a_version(), reason="errors", actor="server:a"
        )

    def retire(self) -> Any:
        self.airflow("start_retirement", reason="superseded")
        for consumer in self.spec.consumers:
            self.decide("confirm_consumer", consumer=consumer.name)
        self.services.clock.advance(timedelta(days=40))
        return self.airflow("close_endpoint")

    def wait(self) -> None:
        self.services.clock.advance(timedelta(hours=self.rng.choice((1, 30, 80))))

    RARELY = (  # tried at any time, whatever the state of things
        "ask", "answer", "start", "release", "shift", "analyse", "complete", "roll_back", "settle", "trip", "file",
        "waive", "revoke", "review", "expire", "wait", "change_roles", "break_glass", "retire",
    )  # fmt: skip

    def likely(self) -> list[str]:
        """What would take the release further now: without it most sequences would only be refused."""
        states = {request.state for request in self.state.requests.values()}
        if any(rollout.state is RolloutState.RUNNING for rollout in self.state.rollouts.values()):
            return ["shift", "analyse", "complete", "roll_back", "file"]
        if RequestState.OPEN in states:
            return ["answer"] * 8 + ["break_glass", "file"]
        if RequestState.APPROVED in states and self.rng.random() < 0.8:
            return ["release"] * 6 + ["start", "file"]
        return ["ask"] * 5 + ["break_glass"]

    def step(self) -> None:
        name = self.rng.choice(self.likely() if self.rng.random() < 0.65 else self.RARELY)
        try:
            said = getattr(self, name)()
        except StewardError as refusal:
            said = f"{type(refusal).__name__}: {refusal.what}"
            self.happened["refused"] += 1
        self.trace.append(f"{name}: {said}")

    # --- what must hold after each of them ------------------------------------------------------

    def events(self, *kinds: EventType) -> list[AuditEvent]:
        wanted = {kind.value for kind in kinds}
        return [event_of(link) for link in self.state.links if link.type in wanted]

    def look(self) -> None:
        for link in self.state.links[self.seen :]:
            assert link.previous_hash == self.head, "the chain broke"
            assert link.hash == hash_of(link, FAKE_KEY), "an event without a signature"
            self.head = link.hash
            if look := self.LOOKS.get(link.type):
                look(self, event_of(link))
                self.happened[link.type] += 1
        self.seen = len(self.state.links)
        self._look_at_tables()

    def _look_at_answer(self, event: AuditEvent) -> None:
        by, request, asked = event.actor.removeprefix("person:"), event.body["request"], None
        if not event.body["approved"]:
            return
        asked = self.asked[request]
        author = self.author_of(event.version)
        assert by not in {author, asked.actor.rpartition(":")[2], OWNER}, f"{by} approved work of their own"
        assert self.policy.roles_of(by) & {*self.policy.tier(self.spec.risk_tier).roles}, f"{by} has no role"
        self.approved[request, str(event.evidence)].add(by)
        if len(self.approved[request, str(event.evidence)]) >= QUORUM[self.tier]:
            self._allow(event)

    def _look_at_glass(self, event: AuditEvent) -> None:
        by = event.actor.removeprefix("person:")
        assert by not in {self.author_of(event.version), OWNER}, f"{by} broke the glass over work of their own"
        assert "incident_commander" in self.policy.roles_of(by), f"{by} has no role"
        due = [i for i in self.state.incidents.values() if i.cause == "review_due" and i.version == event.version]
        assert due, "glass broken, and no review is due"
        self.overridden.add(event.body["request"])
        self._allow(event)

    def _allow(self, event: AuditEvent) -> None:
        dossier = self.state.evidence[event.evidence].body
        assert dossier["version"] == event.version
        self.artefacts[event.version].add(dossier["artefact"])

    def _look_at_release(self, event: AuditEvent) -> None:
        """Under an approval that was given on all that is known now, or over broken glass."""
        request = event.body["approval"]
        assert request in self.state.requests, "released without the approvals"
        evidence = self.state.requests[request].evidence
        yes = self.approved.get((request, evidence), set())
        assert len(yes) >= QUORUM[self.tier] or request in self.overridden, "released without the approvals"
        known = documents_of(self.events(EventType.DOCUMENT_FILED), event.version)
        approved_on = self.state.evidence[evidence].body["documents"]
        assert approved_on == {kind: filed.digest for kind, filed in known.items()}, "something was filed since"

    def _look_at_start(self, event: AuditEvent) -> None:
        self._look_at_release(event)
        today = self.services.clock.now().date()
        frozen = any(freeze.start <= today <= freeze.end for freeze in self.policy.freeze)
        assert not frozen or event.body["approval"] in self.overridden, "released in a freeze"

    def _look_at_request(self, event: AuditEvent) -> None:
        self.asked[event.body["request"]] = event

    def _look_at_nothing(self, event: AuditEvent) -> None:
        """Counted only."""

    LOOKS = {  # noqa: RUF012  a table of this class, never changed
        "approval.requested": _look_at_request,
        "approval.answered": _look_at_answer,
        "approval.refused": _look_at_nothing,
        "approval.voided": _look_at_nothing,
        "glass.broken": _look_at_glass,
        "rollout.started": _look_at_start,
        "rollout.rolled_back": _look_at_nothing,
        "version.promoted": _look_at_release,
        "release.refused": _look_at_nothing,
        "model.reviewed": _look_at_nothing,
        "waiver.granted": _look_at_nothing,
        "endpoint.closed": _look_at_nothing,
    }

    def _look_at_tables(self) -> None:
        champions = [v.number for v in self.state.versions.values() if v.state is State.CHAMPION]
        assert len(champions) <= 1, "two champions"
        route = self.state.routes.get("toy")
        assert (route.champion if route else None) == (champions[0] if champions else None), "route and champion differ"
        if self.happened["endpoint.closed"]:
            assert route is None or (route.champion, route.canary) == (None, None), "a closed endpoint serves"
        for number in (route.champion, route.canary) if route else ():
            if number is not None:
                digest = self.state.versions[VersionRef("toy", number)].artefact_digest
                assert digest in self.artefacts[number], f"toy@{number} serves bytes that nobody approved"

    def author_of(self, version: int | None) -> str:
        return str(self.state.versions[VersionRef("toy", int(version or 0))].author).rpartition(":")[2]

    def end(self) -> None:
        with self.services.database.begin() as tx:
            assert [str(each) for each in differences(tx)] == []
        overdue = {i.version for i in self.state.incidents.values() if i.cause == "review_due"}
        broken = {event.version for event in self.events(EventType.GLASS_BROKEN)}
        assert broken == overdue, "glass was broken, and nobody has to look at it"


def live(world: World, thoroughly: bool = True) -> Counter[str]:
    world.look()
    for _ in range(STEPS):
        world.step()
        world.look()
    if thoroughly:
        world.end()
    return world.happened


def told(world: World) -> str:
    return "\n".join(world.trace)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> list[Template]:
    return [
        Template.build(tmp_path_factory.mktemp("medium"), MODEL_YAML),
        Template.build(tmp_path_factory.mktemp("high"), HIGH),
    ]


@pytest.fixture(autouse=True)
def canaries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What smoke rows and steps show is drawn by lot: mostly good answers, sometimes too few, or too many errors."""

    def observe(services: Services, spec: Any, going: Any) -> Observation:
        luck = LOTS.random()
        requests, errors = (150, 0) if luck < 0.9 else (20, 0) if luck < 0.95 else (150, 60)
        arm = Arm(requests, errors, 0.002)
        return Observation(arm, Arm(600, 0, 0.002) if going.previous else None, 0.01, 0.1, timedelta(minutes=1))

    monkeypatch.setattr("steward.actions.releases.observing.observe", observe)
    monkeypatch.setattr("steward.rollout.smoke.smoke_frame", lambda rows, _spec: rows)
    monkeypatch.setattr("steward.training.fitting.score", lambda _model, rows, _classes=None: [0.9] * len(rows))


def lives(templates: list[Template], seeds: range) -> Iterator[World]:
    for seed in seeds:
        rng = random.Random(seed)
        LOTS.seed(seed)
        yield World(templates[rng.random() < 0.35], rng)


def live_all(templates: list[Template], seeds: range) -> None:
    for world in lives(templates, seeds):
        live(world, thoroughly=False)


def test_nobody_releases_their_own_work(templates: list[Template]) -> None:
    total: Counter[str] = Counter()
    for seed, world in enumerate(lives(templates, range(SEQUENCES))):
        try:
            total += live(world, thoroughly=seed % 10 == 0)
        except AssertionError as broken:
            pytest.fail(f"sequence {seed}: {broken}\n{told(world)}")
    # Each of these is a way something could have gone wrong: a test in which they never happen proves nothing.
    often = {"approval.answered", "approval.refused", "rollout.started", "version.promoted", "release.refused"}
    rarer = {"rollout.rolled_back", "glass.broken", "approval.voided", "endpoint.closed", "model.reviewed"}
    assert all(total[kind] > SEQUENCES / 50 for kind in often), total
    assert all(total[kind] > SEQUENCES / 500 for kind in rarer), total
    print(f"\n{SEQUENCES} sequences: {dict(total)}")


def anybody_may(request: Any, answer: Any, *_: Any) -> Finding:
    return Finding("approval", Outcome.PASSED, f"the answer of {answer.by} counts")


def any_request(services: Any, spec: Any, tx: Any, candidate: Any, used_at: Any = None) -> Any:
    found = tx.approvals.find(spec.model, candidate.number)
    return found[-1].id if found else FORGED


@pytest.mark.parametrize(
    ("rule", "broken", "said"),
    [
        ("steward.actions.approvals.approving.judge_answer", anybody_may, "approved work of their own|has no role"),
        ("steward.actions.approvals.approving._overtaken", lambda *_: {}, "something was filed since"),
        ("steward.actions.approvals.overriding._ask_for_review", lambda *_: None, "no review is due"),
        (
            "steward.actions.approvals.overriding.why_not_break_glass",
            lambda *_: None,
            "broke the glass over work of their own|has no role",
        ),
        ("steward.actions.releases.releasing._held_by_freeze", lambda *_: None, "released in a freeze"),
        ("steward.actions.releases.releasing.require_approval", any_request, "released without|filed since"),
    ],
)
def test_each_rule_that_is_taken_away_is_missed(
    templates: list[Template], monkeypatch: pytest.MonkeyPatch, rule: str, broken: Any, said: str
) -> None:
    """The control: the invariants above are not satisfied by anything at all."""
    monkeypatch.setattr(rule, broken)
    with pytest.raises(AssertionError, match=said):
        live_all(templates, range(1_000))
