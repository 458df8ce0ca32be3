"""why tells the last decision on retraining, what is wrong and what is in the way, each with its event."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.cli.conftest import Steward

from steward import wiring
from steward.approval.policy import Freeze
from steward.gates import Evidence, Finding, Outcome, Verdict
from steward.ledger import EventType
from steward.monitoring.windows import Cause, JudgedWindow
from steward.registry import State
from steward.testing import FakeDatabase, FrozenClock
from steward.testing.builders import MODEL, WEEK, a_draft, a_new_version, a_request, a_rollout, an_incident
from steward.types import VersionRef

COOLDOWN = {
    "name": "cooldown",
    "passed": False,
    "binding": True,
    "sentence": "cooldown: the last training was at 2013-06-01T00:00:00Z, wait 3d",
    "advice": "nothing is to be done: it is asked again after the next window",
}
BREAKER = {"name": "breaker", "passed": True, "binding": True, "sentence": "no candidate was refused"}
ASKED = {"name": "windows", "fired": True, "sentence": "performance was lost in 2 of the last 3 windows of version 1"}
DETAIL = {"trigger": "windows", "triggers": [ASKED], "safeguards": [COOLDOWN, BREAKER]}


JUDGED = Evidence("window", MODEL, {"verdict": Verdict.of([]).to_json()})


def a_judged_window(outcomes: dict[Cause, Outcome]) -> JudgedWindow:
    failed = tuple(cause for cause, outcome in outcomes.items() if outcome is Outcome.FAILED)
    outcome = Outcome.FAILED if failed else Outcome.INCONCLUSIVE
    return JudgedWindow(MODEL, 1, WEEK, outcome, failed, JUDGED.digest, WEEK.end, outcomes)


@pytest.fixture
def on_time(clock: FrozenClock, monkeypatch: pytest.MonkeyPatch) -> FrozenClock:
    """The monitor has just run."""
    clock.set(WEEK.end + timedelta(hours=1))
    monkeypatch.setattr(wiring, "clock", lambda: clock)
    return clock


@pytest.fixture
def lived(store: FakeDatabase, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch) -> FakeDatabase:
    """A champion with a loss and a candidate that waits; the controller has just said no."""
    loss = Finding("performance.roc_auc", Outcome.FAILED, "AUC is 0.61, 0.72 at evaluation")
    drift = Finding("drift.psi:dest", Outcome.FAILED, "dest moved")
    with store.begin() as tx:
        tx.versions.add(a_new_version())
        tx.versions.move(VersionRef(MODEL, 1), State.CHALLENGER, State.CHAMPION)
        tx.versions.add(a_new_version())
        body = {"verdict": Verdict.of([loss, drift]).to_json()}
        digest = tx.evidence.put(Evidence("window", MODEL, body))
        tx.incidents.save(an_incident(cause="performance", evidence=digest, windows=2))
        opened = {"incident": "incident-1"}
        tx.events.append(a_draft(EventType.INCIDENT_OPENED, actor="airflow", body=opened))
        tx.events.append(a_draft(EventType.INCIDENT_UPDATED, actor="airflow", body=opened))
        tx.approvals.open(a_request(version=2))
        tx.events.append(a_draft(EventType.APPROVAL_REQUESTED, version=2, body={"request": "request-1"}))
        said = {"trigger": "windows", "detail": DETAIL}
        tx.events.append(a_draft(EventType.RETRAINING_DECLINED, reason=COOLDOWN["sentence"], body=said))
    clock.advance(timedelta(hours=1))
    monkeypatch.setattr(wiring, "clock", lambda: clock)
    return store


def test_it_is_told_to_people(steward: Steward, lived: FakeDatabase) -> None:
    assert lived
    told = steward("why", MODEL).out
    first, *lines = told.splitlines()
    assert first == "flight_delays is red: @1 serves"
    assert "  @1: performance since 2013-06-01 (medium, open, 2 windows)" in lines
    assert "    AUC is 0.61, 0.72 at evaluation" in lines
    assert "dest moved" not in told, "that is another incident's"
    assert "    #1 2013-06-01 12:00 incident.opened by airflow" in lines
    assert f"retraining declined: {COOLDOWN['sentence']}" in lines
    assert f"    asks    windows           {ASKED['sentence']}" in lines
    assert f"    REFUSES cooldown          {COOLDOWN['sentence']}" in lines
    assert "    ok      breaker           no candidate was refused" in lines
    assert f"    → {COOLDOWN['advice']}" in lines
    assert "  flight_delays@2 waits for approval until 2013-06-04 12:00; no answer is a no" in lines
    assert "    → steward approve flight_delays@2 --reason …, or steward reject" in lines


def test_it_is_told_to_programs_with_the_events_it_rests_on(steward: Steward, lived: FakeDatabase) -> None:
    assert lived
    told = json.loads(steward("why", MODEL, "--json").out)
    assert (told["state"], told["champion"]) == ("red", 1)
    assert [each["seq"] for each in told["red"][0]["events"]] == [1, 2]
    decision = told["retraining"]
    assert (decision["seq"], decision["decision"], decision["trigger"]) == (4, "declined", "windows")
    assert decision["safeguards"][0]["passed"] is False
    assert decision["next"] == [COOLDOWN["advice"]]
    approval = next(each for each in told["blocks"] if each["what"] == "approval")
    assert [each["seq"] for each in approval["events"]] == [3]


def test_what_a_yes_led_to_is_told_with_it(steward: Steward, lived: FakeDatabase) -> None:
    detail = {**DETAIL, "safeguards": [BREAKER]}
    with lived.begin() as tx:
        tx.events.append(a_draft(EventType.RETRAINING_REQUESTED, reason="lost", body={"detail": detail}))
        admitted = {"trigger": "request", "requests": [5], "run": "r1", "detail": {}}
        tx.events.append(a_draft(EventType.RETRAINING_ADMITTED, reason="asked for earlier: lost", body=admitted))
        tx.events.append(a_draft(EventType.MODEL_TRAINED, reason="fitted on 900 rows"))
    decision = json.loads(steward("why", MODEL, "--json").out)["retraining"]
    assert (decision["decision"], decision["seq"]) == ("requested", 5)
    assert [each["event"] for each in decision["since"]] == ["retraining.admitted", "model.trained"]
    assert "since then" in steward("why", MODEL).out


def test_what_does_not_bind_a_person_is_told_as_such(steward: Steward, lived: FakeDatabase) -> None:
    detail = {**DETAIL, "trigger": "manual", "safeguards": [{**COOLDOWN, "binding": False}]}
    with lived.begin() as tx:
        body = {"trigger": "manual", "requests": [], "run": "m1", "detail": detail}
        tx.events.append(a_draft(EventType.RETRAINING_ADMITTED, reason="asked for by hand: new airport", body=body))
    told = steward("why", MODEL).out
    assert "retraining admitted: asked for by hand: new airport" in told
    assert "against cooldown" in told
    assert COOLDOWN["advice"] not in told


def test_before_anything_happened(steward: Steward, store: FakeDatabase) -> None:
    assert store
    assert steward("why", MODEL).out == ("flight_delays is not serving\nretraining: no decision has been taken yet\n")
    assert steward("why", "flights").code == 5


def test_drift_alone_is_watched(steward: Steward, store: FakeDatabase) -> None:
    with store.begin() as tx:
        tx.incidents.save(an_incident(cause="drift", severity="low"))
        tx.events.append(a_draft(EventType.INCIDENT_OPENED, body={"incident": "incident-1"}))
    assert steward("why", MODEL).out.startswith(
        "flight_delays is watched\n  @1: drift since 2013-06-01 (low, open, 1 window)"
    )


@pytest.mark.parametrize(
    ("cause", "detail", "step"),
    [
        ("zombie_no_owner", {"reason": "r", "what_to_do": "name an owner"}, "→ name an owner"),
        ("run", {"run": "r1"}, "→ see its log in Airflow (flight_delays__train)"),
        ("serving", None, "→ look at the log of that server"),
    ],
)
def test_what_no_window_showed_has_a_next_step_too(
    steward: Steward, store: FakeDatabase, cause: str, detail: dict[str, str] | None, step: str
) -> None:
    """The audit and whoever looks after servers and runs open incidents as well."""
    with store.begin() as tx:
        tx.incidents.save(an_incident(cause=cause, detail=detail))
        tx.events.append(a_draft(EventType.INCIDENT_OPENED, reason="so it was", body={"incident": "incident-1"}))
    told = steward("why", MODEL).out
    assert step in told
    assert "    so it was\n" in told


@pytest.mark.parametrize(
    ("outcomes", "state", "said"),
    [
        (None, "not judged", "no window of @1 has been judged yet"),
        (
            {"data": "INCONCLUSIVE", "performance": "INCONCLUSIVE"},
            "not judged",
            "could not be judged: data, performance",
        ),
        ({"data": "PASSED", "performance": "INCONCLUSIVE"}, "green", "could not be judged: performance"),
        ({"data": "PASSED", "performance": "FAILED"}, "red", "2013-06-01) failed: performance"),
        ({"data": "PASSED", "drift": "FAILED"}, "watched", "failed: drift"),
        ({"data": "PASSED"}, "green", "@1 serves\nretraining"),
    ],
)
def test_silence_is_not_told_as_good_news(
    steward: Steward, store: FakeDatabase, on_time: FrozenClock, outcomes: dict[str, str] | None, state: str, said: str
) -> None:
    """Nobody opened an incident, or a person ended it: what the latest window says is told all the same."""
    assert on_time
    with store.begin() as tx:
        tx.versions.add(a_new_version())
        tx.versions.move(VersionRef(MODEL, 1), State.CHALLENGER, State.CHAMPION)
        if outcomes is not None:
            by_cause = {Cause(cause): Outcome(outcome) for cause, outcome in outcomes.items()}
            tx.windows.record(a_judged_window(by_cause))
            tx.evidence.put(JUDGED)
    told = steward("why", MODEL).out
    assert told.startswith(f"flight_delays is {state}: @1 serves")
    assert said in told
    assert json.loads(steward("why", MODEL, "--json").out)["state"] == state


def test_good_news_of_long_ago_is_none(steward: Steward, store: FakeDatabase, on_time: FrozenClock) -> None:
    with store.begin() as tx:
        tx.versions.add(a_new_version())
        tx.versions.move(VersionRef(MODEL, 1), State.CHALLENGER, State.CHAMPION)
        tx.windows.record(a_judged_window({Cause.DATA: Outcome.PASSED}))
        tx.evidence.put(JUDGED)
    on_time.advance(timedelta(days=3))
    told = steward("why", MODEL).out
    assert told.startswith("flight_delays is not judged: @1 serves\n  the monitor of flight_delays was due at")
    assert "→ see why flight_delays__monitor does not run" in told
    with store.begin() as tx:  # it serves again since now: its monitor has missed nothing, and has told nothing
        tx.events.append(a_draft(EventType.ROLLOUT_ROLLED_BACK, version=2, body={"to": 1, "epoch": 2, "rollout": None}))
    told = steward("why", MODEL).out
    assert told.startswith("flight_delays is not judged: @1 serves\n  no window judged since @1 came back on 2013-")
    assert "was due at" not in told


def test_a_canary_that_is_taken_off_makes_no_new_champion(
    steward: Steward, store: FakeDatabase, on_time: FrozenClock
) -> None:
    a_sound_champion(store)
    on_time.set(WEEK.start)
    with store.begin() as tx:
        tx.evidence.put(JUDGED)
        tx.events.append(a_draft(EventType.VERSION_PROMOTED, version=1, body={"epoch": 1}))
    on_time.set(WEEK.end + timedelta(hours=2))
    with store.begin() as tx:
        tx.events.append(a_draft(EventType.ROLLOUT_ROLLED_BACK, version=2, body={"to": 1, "epoch": 2, "rollout": "r"}))
    assert steward("why", MODEL).out.startswith("flight_delays is green: @1 serves")


def a_sound_champion(store: FakeDatabase) -> None:
    with store.begin() as tx:
        tx.versions.add(a_new_version())
        tx.versions.move(VersionRef(MODEL, 1), State.CHALLENGER, State.CHAMPION)
        tx.windows.record(a_judged_window({Cause.DATA: Outcome.PASSED}))


def test_a_window_whose_evidence_is_gone_is_no_good_news(
    steward: Steward, store: FakeDatabase, on_time: FrozenClock
) -> None:
    assert on_time
    a_sound_champion(store)
    told = steward("why", MODEL).out
    assert told.startswith("flight_delays is not judged: @1 serves")
    assert "the evidence of its newest window is not on record" in told


def test_what_serves_without_a_sound_spec_is_not_green(
    steward: Steward, store: FakeDatabase, on_time: FrozenClock
) -> None:
    """Nothing judges it any more, whatever its last window said."""
    assert on_time
    a_sound_champion(store)
    with store.begin() as tx:
        tx.evidence.put(JUDGED)
        tx.events.append(a_draft(EventType.VERSION_PROMOTED, version=1, body={}))
    (wiring.settings().models_dir / MODEL / "model.yaml").write_text("model: [")
    told = steward("why", MODEL).out
    assert told.startswith("flight_delays is broken: @1 serves")
    assert "its spec cannot be read" in told
    shutil.rmtree(wiring.settings().models_dir / MODEL)
    told = steward("why", MODEL).out
    assert told.startswith("flight_delays is not judged: @1 serves\n  no folder declares it: nothing judges it")
    assert "→ put its folder back, or retire it" in told


def test_a_request_that_expired_is_answered_by_nobody_any_more(
    steward: Steward, lived: FakeDatabase, clock: FrozenClock
) -> None:
    assert lived
    assert "steward approve" in steward("why", MODEL).out
    clock.advance(timedelta(days=30))
    told = steward("why", MODEL).out
    assert "flight_delays@2 was not approved by" in told
    assert "steward approve" not in told


def test_a_window_from_before_outcomes_were_kept_by_cause(
    steward: Steward, store: FakeDatabase, on_time: FrozenClock
) -> None:
    assert on_time
    with store.begin() as tx:
        tx.versions.add(a_new_version())
        tx.versions.move(VersionRef(MODEL, 1), State.CHALLENGER, State.CHAMPION)
        tx.windows.record(replace(a_judged_window({}), outcome=Outcome.PASSED))
        tx.evidence.put(JUDGED)
    assert steward("why", MODEL).out.startswith("flight_delays is green: @1 serves")


def test_the_spec_of_a_retired_model_is_gone_for_good(steward: Steward, lived: FakeDatabase) -> None:
    with lived.begin() as tx:
        retired = {"keep_until": "2020-01-01", "archive": "a"}
        tx.events.append(a_draft(EventType.MODEL_RETIRED, reason="no longer needed", body=retired))
    shutil.rmtree(wiring.settings().models_dir / MODEL)
    ended = steward("why", MODEL)
    assert ended.code == 0
    assert "was retired" in ended.out
    assert "cannot be read" not in ended.out


def test_what_keeps_a_release_waiting_is_told(
    steward: Steward, lived: FakeDatabase, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rollout, a freeze, a document that is missing, a tombstone: each with its way out."""
    policy = wiring.policy()
    holidays = Freeze(start=clock.now().date(), end=clock.now().date(), reason="holidays")
    monkeypatch.setattr(wiring, "policy", lambda: policy.model_copy(update={"freeze": (holidays,)}))
    with lived.begin() as tx:
        tx.rollouts.start(a_rollout())
        tx.events.append(a_draft(EventType.ROLLOUT_STARTED, version=2, body={"rollout": "rollout-1"}))
        retired = {"keep_until": "2020-01-01", "archive": "a"}
        tx.events.append(a_draft(EventType.MODEL_RETIRED, reason="no longer needed", body=retired))
    told = {each["what"]: each for each in json.loads(steward("why", MODEL, "--json").out)["blocks"]}
    assert set(told) == {"rollout", "approval", "missing", "freeze", "retired"}
    assert told["rollout"]["events"][0]["event"] == "rollout.started"
    assert "frozen until the end of 2013-06-01: holidays" in told["freeze"]["sentence"]
    assert told["missing"]["next"] == f"then see what is left: steward stage {MODEL}@2"
    assert "no longer needed" in told["retired"]["sentence"]


def test_a_spec_that_cannot_be_read_hides_nothing_of_the_record(
    steward: Steward, lived: FakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lived
    folder = wiring.settings().models_dir / MODEL / "model.yaml"
    folder.write_text("model: [")
    ended = steward("why", MODEL)
    assert ended.code == 0
    assert "retraining declined" in ended.out
    assert "its spec cannot be read" in ended.out


def test_reading_changes_nothing(steward: Steward, lived: FakeDatabase) -> None:
    assert lived
    before = steward("audit", "verify", "--json").out
    steward("why", MODEL)
    assert steward("audit", "verify", "--json").out == before
