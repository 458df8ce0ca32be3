"""The life of an incident: from the first bad window to the last sound one, or to a person's word."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.specs import a_spec

from steward import actions
from steward.actions.governance.verifying import differences
from steward.actions.incidents import from_windows as window_incidents
from steward.actions.incidents.attending import acknowledge_incident, resolve_by_hand
from steward.actions.incidents.changing import end_with_service, link_incidents
from steward.actions.incidents.messaging import waiting_messages
from steward.actions.incidents.notifying import report_fault
from steward.actions.operation import Operation
from steward.actions.state import Services
from steward.actions.telling.retelling import retold_messages
from steward.approval.policy import load_policy
from steward.errors import ConflictError, NotFoundError, PolicyError, RequestError
from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.ledger import EventType
from steward.monitoring.windows import Cause, Incident, IncidentState, JudgedWindow
from steward.registry import State
from steward.spec import ModelSpec, SpecFolder
from steward.testing import FrozenClock
from steward.testing.builders import MODEL, a_draft, a_new_version, an_incident
from steward.testing.services import services_in_memory
from steward.types import VersionRef, Window

DAY = timedelta(days=1)
BEGAN = datetime(2013, 6, 1, tzinfo=UTC)
POLICY = Path(__file__).parents[3] / "include" / "policy.yaml"
OUTCOMES = {"F": Outcome.FAILED, "P": Outcome.PASSED, "I": Outcome.INCONCLUSIVE}


@dataclass
class Watched:
    """A champion whose windows are judged as the test says."""

    services: Services
    clock: FrozenClock
    spec: ModelSpec
    runs: int = 0

    def judge(self, night: int, said: str, cause: Cause = Cause.DRIFT, version: int = 1, **body: Any) -> str:
        """The window that ends with this night: one letter, for one cause. → digest of its evidence."""
        window = Window(BEGAN + (night - 7) * DAY, BEGAN + night * DAY)
        outcome = OUTCOMES[said]
        causes = (cause,) if outcome is Outcome.FAILED else ()
        verdict = Verdict((Finding(f"{cause.value}.check:x", outcome, f"{cause.value} of night {night}"),))
        content = {"version": version, "window": window.to_json(), "verdict": verdict.to_json(), "causes": causes}
        with self.services.database.begin() as tx:
            digest = tx.evidence.put(Evidence("window", MODEL, {**content, **body}))
            known = {w.window: w for w in tx.windows.recent(MODEL, 99, version)}.get(window)
            outcomes = {**(known.outcomes if known else {}), cause: outcome}
            failed = tuple(each for each, what in outcomes.items() if what is Outcome.FAILED)
            overall = Outcome.FAILED if failed else outcome
            tx.windows.record(JudgedWindow(MODEL, version, window, overall, failed, digest, self.clock.now(), outcomes))
        return digest

    def night(self, night: int, said: str, cause: Cause = Cause.DRIFT, **body: Any) -> dict[str, Any]:
        """Judged, and followed in a run of its own."""
        self.clock.set(max(self.clock.now(), BEGAN + night * DAY + timedelta(hours=2)))
        return self.follow(self.judge(night, said, cause, **body))

    def follow(self, digest: str) -> dict[str, Any]:
        self.runs += 1
        return actions.open_incident(
            self.services, self.spec, run=f"r{self.runs}", actor="airflow:monitor", evidence=digest
        )

    def incidents(self) -> list[Incident]:
        with self.services.database.begin() as tx:
            return tx.incidents.all(MODEL)

    def events(self) -> list[tuple[str, str]]:
        with self.services.database.begin() as tx:
            return [(e.type.removeprefix("incident."), e.reason) for e in tx.events.read() if "incident" in e.type]

    def titles(self) -> list[str]:
        return [message.title for _, message in self.services.notifier.told]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    clock = FrozenClock(BEGAN)
    services = services_in_memory(SpecFolder(tmp_path), load_policy(POLICY), clock, tmp_path)
    with services.database.begin() as tx:
        for number in (1, 2):
            tx.versions.add(a_new_version())
            tx.events.append(a_draft(EventType.VERSION_REGISTERED, version=number))
        tx.versions.move(VersionRef(MODEL, 1), State.CHALLENGER, State.CHAMPION)
        promoted = {"replaced": None, "rollout": "rollout-7"}
        tx.events.append(a_draft(EventType.VERSION_PROMOTED, version=1, body=promoted))
    return Watched(services, clock, a_spec(model=MODEL, risk_tier="high"))


def replace_champion(watched: Watched) -> None:
    with watched.services.database.begin() as tx:
        tx.versions.move(VersionRef(MODEL, 1), State.CHAMPION, State.SUPERSEDED)
        tx.versions.move(VersionRef(MODEL, 2), State.CHALLENGER, State.CHAMPION)


def of_checks(**outcomes: str) -> dict[str, Any]:
    """Findings of drift by feature, one letter each."""
    findings = [Finding(f"drift.psi:{name}", OUTCOMES[said], f"{name}: {said}") for name, said in outcomes.items()]
    return {"verdict": Verdict(tuple(findings)).to_json()}


def test_a_check_that_never_decides_keeps_nothing_open_that_it_never_complained_of(watched: Watched) -> None:
    watched.night(8, "F", **of_checks(fare="F", carrier="I"))
    watched.night(9, "I", **of_checks(fare="P", carrier="I"))
    assert watched.incidents()[0].passed == 1
    watched.night(10, "I", **of_checks(fare="P", carrier="I"))
    (incident,) = watched.incidents()
    assert incident.state is IncidentState.RESOLVED
    with watched.services.database.begin() as tx:
        told = retold_messages(tx, watched.spec, BEGAN)
    assert [message.title for message in told] == watched.titles()


def test_what_failed_once_must_be_told_sound(watched: Watched) -> None:
    """Of every bad window, and not of the last alone; and something must have passed."""
    watched.night(8, "F", **of_checks(fare="F", carrier="P"))
    watched.night(9, "F", **of_checks(fare="I", carrier="F"))
    for night in (10, 11, 12):
        watched.night(night, "I", **of_checks(fare="I", carrier="P"))
    watched.night(13, "I", **of_checks(fare="P", carrier="I"))
    watched.night(14, "I", **of_checks(distance="I"))
    (incident,) = watched.incidents()
    assert (incident.state, incident.windows, incident.passed) == (IncidentState.OPEN, 2, 0)


def test_one_message_per_incident_and_not_per_window(watched: Watched) -> None:
    for night, said in enumerate("FFFFFPFPP", 8):
        watched.night(night, said)
    (incident,) = watched.incidents()
    assert (incident.state, incident.windows, incident.passed) == (IncidentState.RESOLVED, 6, 2)
    assert incident.first_bad == Window(BEGAN + DAY, BEGAN + 8 * DAY)
    assert watched.titles() == [f"{MODEL}@1: drift incident opened [low]", f"{MODEL}@1: drift incident resolved [low]"]
    assert watched.events()[0] == ("opened", "drift: drift of night 8")
    assert watched.events()[-1] == ("resolved", "drift: 2 windows in a row passed")
    assert [kind for kind, _ in watched.events()] == ["opened", *["updated"] * 7, "resolved"]
    assert waiting_messages(watched.services.database) == []


def test_the_same_window_changes_nothing_twice(watched: Watched) -> None:
    digest = watched.judge(8, "F")
    first = watched.follow(digest)
    before = watched.incidents()
    again = watched.follow(digest)
    assert again["incidents"] == first["incidents"] == [before[0].id]
    assert watched.incidents() == before
    assert len(watched.events()) == 1


def test_a_window_judged_again_counts_once_and_may_take_the_trouble_back(watched: Watched) -> None:
    watched.night(8, "F")
    watched.follow(watched.judge(8, "F", effects={}))  # the same night, with other evidence
    assert watched.incidents()[0].windows == 1
    watched.follow(watched.judge(8, "P"))
    (incident,) = watched.incidents()
    assert incident.state is IncidentState.RESOLVED
    assert watched.events()[-1][1] == "drift: its windows were judged again, and none fails now"


def test_a_long_silence_ends_no_trouble(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bad windows lie further back than is looked: nothing says that they were mended."""
    monkeypatch.setattr(window_incidents, "LOOKED_BACK", 4)
    for night, said in enumerate("FF" + "I" * 6, 8):
        watched.night(night, said)
    (incident,) = watched.incidents()
    assert (incident.state, incident.windows) == (IncidentState.OPEN, 2)
    for night, said in enumerate("PP", 16):
        watched.night(night, said)
    assert watched.incidents()[0].state is IncidentState.RESOLVED


def test_a_trouble_longer_than_is_looked_back_keeps_its_beginning(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window_incidents, "LOOKED_BACK", 4)
    for night in range(8, 16):
        watched.night(night, "F")
    (incident,) = watched.incidents()
    assert incident.first_bad == Window(BEGAN + DAY, BEGAN + 8 * DAY)
    assert incident.windows == 4


def test_a_window_that_comes_late_moves_the_beginning_and_flaps_nothing(watched: Watched) -> None:
    watched.night(10, "F")
    watched.night(9, "F")
    watched.night(8, "P")
    (incident,) = watched.incidents()
    assert incident.first_bad.end == BEGAN + 9 * DAY
    assert (incident.windows, incident.passed, incident.judged_to) == (2, 0, BEGAN + 10 * DAY)


def test_a_late_bad_window_of_a_trouble_that_is_over_opens_no_other(watched: Watched) -> None:
    for night, said in ((8, "F"), (10, "P"), (11, "P")):
        watched.night(night, said)
    assert watched.night(9, "F") == {"incidents": [], "passing": [], "resolved": []}
    assert len(watched.incidents()) == 1
    watched.night(12, "F")
    assert [incident.windows for incident in watched.incidents()] == [1, 1]


def test_missed_windows_caught_up_begin_with_the_first_bad_one(watched: Watched) -> None:
    for night in (8, 9, 10):
        digest = watched.judge(night, "F" if night > 8 else "P")
    watched.follow(digest)
    (incident,) = watched.incidents()
    assert (incident.windows, incident.first_bad.end) == (2, BEGAN + 9 * DAY)


def test_every_cause_has_an_incident_of_its_own_and_ends_by_itself(watched: Watched) -> None:
    watched.judge(8, "F", Cause.DATA)
    watched.night(8, "F", Cause.PERFORMANCE)
    for night in (9, 10):
        watched.judge(night, "P", Cause.DATA)
        watched.night(night, "I", Cause.PERFORMANCE)
    states = {incident.cause: incident.state for incident in watched.incidents()}
    assert states == {"data": IncidentState.RESOLVED, "performance": IncidentState.OPEN}


def test_a_severity_rises_with_a_message_and_does_not_fall_while_it_lasts(watched: Watched) -> None:
    for night, effect in ((8, "low"), (9, "high"), (10, "low")):
        watched.night(night, "F", Cause.PERFORMANCE, effects={"performance": effect})
    (incident,) = watched.incidents()
    assert incident.severity == "high"
    assert watched.titles() == [
        f"{MODEL}@1: performance incident opened [medium]",
        f"{MODEL}@1: performance incident rose from medium to high",
    ]


def test_it_is_linked_to_its_evidence_and_its_deployment(watched: Watched) -> None:
    watched.night(8, "F")
    (incident,) = watched.incidents()
    links = [(link["kind"], link["ref"]) for link in incident.links]
    assert links == [("evidence", incident.evidence), ("deployment", "rollout-7")]
    with watched.services.database.begin() as tx:
        link_incidents(tx, MODEL, "retraining", "event 9", watched.clock.now(), causes=["performance"])
        link_incidents(tx, MODEL, "retraining", "event 10", watched.clock.now(), causes=["drift"])
    assert [link["ref"] for link in watched.incidents()[0].links][2:] == ["event 10"]


def test_what_ends_the_service_of_a_version_ends_its_troubles_and_no_others(watched: Watched) -> None:
    watched.night(8, "F")
    with watched.services.database.begin() as tx:
        tx.incidents.save(an_incident(id="review", cause="review_due", version=1))
        op = Operation.begin(watched.services, "roll_back", MODEL, "r", "person:dana")
        end_with_service(tx, op, 1, "version 1 was rolled back", kind="rollback", ref="event 12")
    ended, review = sorted(watched.incidents(), key=lambda incident: incident.cause)
    assert ended.state is IncidentState.RESOLVED
    assert ended.links[-1]["kind"] == "rollback"
    assert review.state is IncidentState.OPEN


def test_incidents_of_a_version_that_serves_no_more_end_with_the_next_window(watched: Watched) -> None:
    watched.night(8, "F")
    replace_champion(watched)
    assert watched.follow(watched.judge(9, "F"))["incidents"] == []  # the old one's: nobody has to act on it
    done = watched.follow(watched.judge(10, "F", version=2))
    old, new = sorted(watched.incidents(), key=lambda incident: incident.version)
    assert old.state is IncidentState.RESOLVED
    assert done["incidents"] == [new.id]
    assert new.version == 2


def test_a_person_takes_it_on_and_it_still_ends_by_itself(watched: Watched) -> None:
    (incident,) = watched.night(8, "F")["incidents"]
    told = acknowledge_incident(watched.services, incident=incident[:8], by="dana", note="the airport changed")
    assert told["state"] == "acknowledged"
    assert acknowledge_incident(watched.services, incident=incident, by="dana") == told
    with pytest.raises(ConflictError, match="dana looks at"):
        acknowledge_incident(watched.services, incident=incident, by="mo")
    watched.night(9, "F")
    (known,) = watched.incidents()
    assert (known.state, known.acknowledged_by, known.windows) == (IncidentState.ACKNOWLEDGED, "dana", 2)
    watched.night(10, "P")
    watched.night(11, "P")
    assert watched.incidents()[0].state is IncidentState.RESOLVED
    assert [kind for kind, _ in watched.events()].count("acknowledged") == 1


def test_a_person_ends_it_with_a_reason_and_a_later_bad_window_opens_another(watched: Watched) -> None:
    (incident,) = watched.night(8, "F")["incidents"]
    with pytest.raises(RequestError, match="the reason is empty"):
        resolve_by_hand(watched.services, incident=incident, by="dana", reason=" ")
    resolve_by_hand(watched.services, incident=incident, by="dana", reason="a test of the source")
    with pytest.raises(ConflictError, match="was resolved on"):
        resolve_by_hand(watched.services, incident=incident, by="dana", reason="again")
    assert watched.events()[-1] == ("resolved", "drift: a test of the source (dana)")
    assert watched.follow(watched.judge(8, "F", effects={}))["incidents"] == []
    assert watched.night(9, "F")["incidents"] != [incident]


def test_trouble_with_a_model_that_was_retired_can_be_taken_on_and_ended(watched: Watched) -> None:
    """The audit opens it: somebody still calls the model, or a server still holds it."""
    with watched.services.database.begin() as tx:
        tx.events.append(a_draft(EventType.MODEL_RETIRED, body={"keep_until": "2020-01-01", "archive": "a"}))
        tx.incidents.save(an_incident(cause="served_though_retired", version=0))
    known = an_incident().id
    assert acknowledge_incident(watched.services, incident=known, by="dana")["state"] == "acknowledged"
    told = report_fault(watched.services, dag="d", run="r", task="t", model=MODEL, error="boom")
    assert told["told"]
    assert resolve_by_hand(watched.services, incident=known, by="dana", reason="switched off")["state"] == "resolved"


def test_a_review_that_is_due_is_not_ended_by_hand(watched: Watched) -> None:
    with watched.services.database.begin() as tx:
        tx.incidents.save(an_incident(id="review-1", cause="review_due"))
    with pytest.raises(PolicyError, match="only the review"):
        resolve_by_hand(watched.services, incident="review-1", by="dana", reason="it is fine")


def test_the_past_told_again_is_what_was_told(watched: Watched) -> None:
    """Over many courses of events, by the spec as it was; and by another, what that would have meant."""
    draw = random.Random(7)
    for night in range(8, 48):
        for cause in (Cause.DRIFT, Cause.PERFORMANCE):
            effects = {cause.value: draw.choice(["low", "medium", "high"])}
            said = "".join(draw.choices("FPI", (4, 5, 1)))
            watched.clock.set(BEGAN + night * DAY + timedelta(hours=2))
            digest = watched.judge(night, said, cause, effects=effects)
        watched.follow(digest)
        if night == 40:
            replace_champion(watched)
            break
    watched.clock.advance(DAY)
    watched.follow(watched.judge(42, "P", version=2))

    def told(**monitoring: Any) -> list[tuple[Any, str]]:
        spec = watched.spec.model_copy(update={"monitoring": watched.spec.monitoring.model_copy(update=monitoring)})
        with watched.services.database.begin() as tx:
            return [(message.at, message.title) for message in retold_messages(tx, spec, BEGAN)]

    sent = [(message.at, message.title) for _, message in watched.services.notifier.told]
    assert len(sent) > 10
    assert sorted(told()) == sorted(sent)
    assert len(told(resolve_after=5)) < len(sent)


@pytest.mark.parametrize(
    ("asked", "error"), [("nosuch", NotFoundError), ("abc", NotFoundError), ("incident-", RequestError)]
)
def test_an_incident_is_named_by_enough_of_its_id(watched: Watched, asked: str, error: type[Exception]) -> None:
    with watched.services.database.begin() as tx:
        tx.incidents.save(an_incident())
        tx.incidents.save(an_incident(id="incident-2", version=2))
    with pytest.raises(error):
        acknowledge_incident(watched.services, incident=asked, by="dana")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda i: replace(i, state=IncidentState.RESOLVED), "resolved, low, the events say open, low"),
        (lambda i: replace(i, severity="high"), "open, high, the events say open, low"),
    ],
)
def test_a_row_changed_by_hand_is_found(watched: Watched, change: Callable[[Incident], Incident], said: str) -> None:
    watched.night(8, "F")
    with watched.services.database.begin() as tx:
        found = [str(each) for each in differences(tx) if "incident" in each.what]
        assert found == []
        tx.incidents.save(change(tx.incidents.all(MODEL)[0]))
        (one,) = [str(each) for each in differences(tx) if "incident" in each.what]
    assert said in one
